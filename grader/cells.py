"""CSV that neither loses a cell nor lets one act: a spreadsheet takes a cell that begins with `=` for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_ACTS = re.compile(r"'*\s*[=+\-@＝＋－＠]")  # noqa: RUF001  the wide forms act too, in some spreadsheets
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
BOM = "\ufeff"


def neutral(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe is put before what would be one.

    Plain numbers stay as they are. `plain` gives the text back, but for what no cell can hold: line ends are
    written as newlines, NUL is left out, half a surrogate pair becomes a question mark.
    """
    if not text.isprintable():
        text = text.encode("utf-8", "replace").decode().replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _ACTS.match(text) and not _NUMBER.fullmatch(text) else text


def plain(cell: str) -> str:
    """Return the text that `neutral` made a cell of; any other cell is its own text."""
    return cell[1:] if cell.startswith("'") and _ACTS.match(cell) else cell


def kept(cell: str) -> str:
    """Return a cell of somebody else's file, neutral if it was not."""
    return neutral(plain(cell))


def write(rows: Iterable[Sequence[str]], *, bom: bool = False) -> str:
    """Write rows as CSV (RFC 4180); `bom` tells Excel that it is UTF-8."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return (BOM if bom else "") + out.getvalue()
