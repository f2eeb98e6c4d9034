"""`grader new`: a whole, verifying exercise to start from; the author then replaces its mathematics."""

import re
from pathlib import Path
from string import Template

from grader.errors import UsageError
from grader.exercise import NAME

_TEMPLATE = Path(__file__).with_name("scaffold.txt")
_HEADING = re.compile(r"^--- (.+)\n", re.MULTILINE)


def create(name: str, title: str, where: Path) -> list[Path]:
    """Write the folder `where/name` and `where/reference/<module>.py`; return the files written.

    Raises UsageError where the name is not possible or any of the files is there already.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            "E2120",
            f"{name!r} cannot be an exercise's name",
            cause="names are small letters and digits in words joined by single hyphens",
            hint="for example `grader new batch-norm`",
        )
    title = title or name.replace("-", " ").capitalize()
    if not title.isprintable() or {'"', "\\"} & set(title):
        raise UsageError(
            "E2120",
            "the title cannot be written into exercise.toml",
            cause="it holds a quote, a backslash or an unprintable character",
            hint='for example --title "Batch normalisation"',
        )
    files = _render(name, title, where)
    taken = [path for path in (where / name, *files) if path.exists()]
    if taken:
        raise UsageError(
            "E2121",
            "nothing was written: the exercise is there already",
            cause=f"{taken[0]} exists",
            hint="choose another name, or remove it first",
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _render(name: str, title: str, where: Path) -> dict[Path, str]:
    """Fill the template in: path of each file and its text."""
    words = {"name": name, "module": name.replace("-", "_"), "title": title}
    filled = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(words)
    _, *parts = _HEADING.split(filled)
    return {where / path: text for path, text in zip(parts[::2], parts[1::2], strict=True)}
