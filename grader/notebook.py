"""Notebooks as submissions: `.ipynb` becomes one Python source, and its lines lead back to cells.

Taken are the code cells; if any of them is tagged `submit`, or starts with `# grader: submit`, only
those. Each begins with a line `# %% cell 3` (its place in the notebook, counted from 1), so that a stored
submission says by itself which cell a line came from. Outputs and other metadata are never used.

IPython's own lines are not Python: `%magic`, `!command` and `name?` are replaced by `pass`, one line for
one line, so that line numbers stay. A cell that begins with `%%` loses that line, or counts as no code if the
magic makes it something other than Python (`%%bash`).
"""

import ast
import io
import re
import tokenize
import warnings

from grader.errors import UsageError

SUFFIX = ".ipynb"
_CHOSEN = re.compile(r"\s*#\s*grader:\s*submit\b")
_MARKER = re.compile(r"# %% cell (\d+)")
_PYTHON_MAGICS = {"capture", "prun", "time", "timeit"}
_MAGIC = re.compile(r"[%!]|[\w.]+\?{1,2}$|\?{1,2}[\w.]+$|[\w.,\s]+=\s*[%!]\s*\w")


def to_source(content: bytes, name: str) -> bytes:
    """Return the Python source of a notebook; raises UsageError where `content` is none."""
    if not content.strip():
        return b""
    import nbformat  # noqa: PLC0415 - slow, and needed for notebooks only

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells without an id are no student's concern
            book = nbformat.reads(content.decode("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
        cells = [
            (place, str(cell["source"]), list(cell["metadata"].get("tags", [])))
            for place, cell in enumerate(book["cells"], 1)
            if cell["cell_type"] == "code"
        ]
    except (nbformat.ValidationError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            "E2107",
            f"{name} is not a notebook that can be read",
            cause=reason[:200],
            hint="open and save it again in Jupyter, or submit a .py file",
        ) from error
    chosen = [cell for cell in cells if "submit" in cell[2] or _CHOSEN.match(cell[1])]
    parts = [f"# %% cell {place}\n{_python(source)}" for place, source, _ in chosen or cells]
    return "\n".join(parts).encode("utf-8", "surrogatepass")


def places(filename: str, source: bytes) -> list[str]:
    """Name the place of each line of a source made by `to_source`: `cell 3, line 5`.

    Empty for a file that was no notebook, whose lines are their own names.
    """
    if not filename.endswith(SUFFIX):
        return []
    found = []
    cell = line = 0
    for text in source.decode("utf-8", "replace").split("\n"):
        marker = _MARKER.fullmatch(text)
        cell, line = (int(marker[1]), 0) if marker else (cell, line + 1)
        found.append(f"cell {cell}, line {line}" if line else f"cell {cell}")
    return found


def _python(cell: str) -> str:
    """Return a cell's source with IPython's own lines taken out, line for line."""
    if _parses(cell):
        return cell
    lines = cell.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        if (lines[first][2:].split() or [""])[0] not in _PYTHON_MAGICS:
            return "\n" * (len(lines) - 1)
        lines[first] = ""
    for at, line in enumerate(lines):
        bare = line.lstrip()
        if _MAGIC.match(bare) and not _inside("\n".join(lines[:at])):
            lines[at] = line[: len(line) - len(bare)] + "pass"
    return "\n".join(lines)


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _inside(before: str) -> bool:
    """Whether the line after `before` continues it: an open bracket, string, or a backslash."""
    if before.endswith("\\"):
        return True
    try:
        for _ in tokenize.generate_tokens(io.StringIO(before + "\n").readline):
            pass
    except tokenize.TokenError:
        return True
    except SyntaxError:
        return False
    return False
