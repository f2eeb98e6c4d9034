"""CSV: no cell acts, none is lost."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.cells import BOM, kept, neutral, plain, write

# What a cell can hold: no halves of surrogate pairs, NUL or carriage returns, which `neutral` replaces.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30)
ACTS = "=+-@＝＋－＠"  # noqa: RUF001
FORMULA = st.tuples(st.sampled_from(["", " ", "\t", "'", "''", " '", "\n"]), st.sampled_from(ACTS), TEXT).map("".join)


def acts(cell):
    """Tell whether a spreadsheet may take a cell for a formula: blanks before its first sign do not help."""
    return cell.lstrip()[:1] in tuple(ACTS) and not is_number(cell)


def is_number(cell):
    """Tell whether a cell is a number, and no more."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and not cell.startswith(" ")


@given(text=st.one_of(TEXT, FORMULA, st.text(max_size=30)))
def test_no_neutral_cell_acts(text):
    """Whatever a person may be called, halves of surrogate pairs and NUL included."""
    cell = neutral(text)
    assert not acts(cell)
    cell.encode()
    assert "\0" not in cell


@given(text=st.one_of(TEXT, FORMULA))
def test_a_neutral_cell_gives_its_text_back(text):
    """Nothing is lost: apostrophes of the text's own are told from ours."""
    assert plain(neutral(text)) == text


@given(text=st.one_of(TEXT, FORMULA))
def test_a_cell_is_made_neutral_once(text):
    """A file may go through our hands again and again."""
    assert kept(kept(text)) == kept(text)
    assert kept(neutral(text)) == neutral(text)
    assert not acts(kept(text))


@pytest.mark.parametrize("number", ["-1.5", "+3", "-0", "12"])
def test_a_number_stays_one(number):
    """A score below zero is no formula."""
    assert neutral(number) == number


@given(rows=st.lists(st.lists(st.one_of(TEXT, FORMULA), min_size=2, max_size=4), max_size=5), bom=st.booleans())
def test_rows_come_back_through_a_file(rows, bom):
    """Commas, quotes, line ends within cells, formulas: what a reader of CSV reads is what was written."""
    text = write([[neutral(cell) for cell in row] for row in rows], bom=bom)
    assert text.startswith(BOM) == bom
    read = csv.reader(io.StringIO(text.removeprefix(BOM) if bom else text, newline=""), strict=True)
    assert [[plain(cell) for cell in row] for row in read] == rows
