"""Notebooks become one source whose lines lead back to cells."""

import json
from typing import Any

import pytest

from grader import notebook
from grader.errors import UsageError


def cell(source: str, *tags: str, kind: str = "code") -> dict[str, Any]:
    """Make a cell as a notebook holds it."""
    whole: dict[str, Any] = {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source}
    return whole | {"outputs": [], "execution_count": None} if kind == "code" else whole


def book(*cells: dict[str, Any]) -> bytes:
    """Make a notebook's file."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": list(cells)}).encode()


def test_code_cells_are_joined_under_their_place_in_the_notebook():
    """Text cells are left out, and still counted."""
    source = notebook.to_source(book(cell("# Title", kind="markdown"), cell("a = 1"), cell("b = 2\nc = 3")), "x.ipynb")
    assert source.decode() == "# %% cell 2\na = 1\n# %% cell 3\nb = 2\nc = 3"


@pytest.mark.parametrize("chosen", [cell("b = 2", "submit"), cell("# grader: submit\nb = 2")])
def test_marked_cells_are_taken_alone(chosen):
    """One tag `submit`, or one first line `# grader: submit`, leaves all other cells out."""
    source = notebook.to_source(book(cell("a = 1"), chosen, cell("c = 3")), "x.ipynb").decode()
    assert "b = 2" in source
    assert "a = 1" not in source
    assert "c = 3" not in source


def test_each_line_leads_back_to_its_cell():
    """Lines count from 1 within a cell; the line above is the heading that we wrote."""
    source = notebook.to_source(book(cell("a = 1"), cell("b = 2\nc = 3")), "x.ipynb")
    places = ["cell 1", "cell 1, line 1", "cell 2", "cell 2, line 1", "cell 2, line 2"]
    assert notebook.places("x.ipynb", source) == places
    assert notebook.places("x.py", source) == []


def test_magics_and_shell_lines_go_and_line_numbers_stay():
    """`%`, `!` and `?` lines become `pass` with the same indentation, so blocks stay whole."""
    written = "%matplotlib inline\nif True:\n    !ls\nfiles = !ls -l\nlen?\n?len\nb = 5"
    source = notebook.to_source(book(cell(written)), "x.ipynb").decode()
    assert source.split("\n")[1:] == ["pass", "if True:", "    pass", "pass", "pass", "pass", "b = 5"]


def test_python_that_looks_like_a_magic_stays():
    """A `%` that continues an expression, or stands inside a string, is Python."""
    written = "%time\nx = (7\n  % 4)\ns = '''\n%d\n!important\n'''\ny = 7 \\\n  % 4"
    source = notebook.to_source(book(cell(written)), "x.ipynb").decode()
    values: dict[str, Any] = {}
    exec(source, values)  # noqa: S102 - our own text, run to see what it means
    assert (values["x"], values["y"], values["s"]) == (3, 3, "\n%d\n!important\n")


def test_a_cell_magic_loses_its_line_and_another_language_its_cell():
    """`%%time` leaves the Python below it; `%%bash` leaves as many empty lines."""
    source = notebook.to_source(book(cell("%%time\na = 1"), cell("%%bash\nls\npwd"), cell("b = 2")), "x.ipynb")
    assert source.decode() == "# %% cell 1\n\na = 1\n# %% cell 2\n\n\n\n# %% cell 3\nb = 2"


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"{}", b"null", b"\xff\x00", b"[" * 100_000, b'{"nbformat": 9, "cells": []}'],
)
def test_what_is_no_notebook_is_refused_with_a_remedy(content):
    """Whatever the bytes are, the error has a code, a cause and a hint."""
    with pytest.raises(UsageError) as caught:
        notebook.to_source(content, "x.ipynb")
    assert caught.value.code == "E2107"
    assert caught.value.cause
    assert "Jupyter" in caught.value.hint


def test_an_empty_notebook_is_an_empty_submission():
    """No cell, or no byte at all: the judge says that the file is empty."""
    assert notebook.to_source(b"", "x.ipynb") == b""
    assert notebook.to_source(book(), "x.ipynb") == b""
