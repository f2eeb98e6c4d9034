"""Read a submission's bytes as Python source, as far as that is possible without running or parsing it."""

from grader.exercise import MAX_SOURCE_BYTES
from grader.verdict import Rejected, Verdict


def read_source(content: bytes) -> str:
    """Return the text of a submission; raises Rejected (import_error) for what cannot be a Python file."""
    if len(content) > MAX_SOURCE_BYTES:
        raise _rejected(f"Your file has {len(content):,} bytes; at most {MAX_SOURCE_BYTES:,} are accepted.")
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise _rejected(f"Your file holds a NUL byte at line {line}, so it is not Python source.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _rejected(f"Your file is not UTF-8 text: see line {line}. Save it as UTF-8.") from error
    if not text.strip():
        raise _rejected("Your file is empty.")
    return text


def _rejected(message: str) -> Rejected:
    return Rejected(message, Verdict.IMPORT_ERROR)
