"""What goes to which stream: the answer to stdout, progress and hints to stderr.

Rich is imported only where something is laid out for a person. Whatever may come from a submission goes
through `grader.formats.safe` first and is never read as markup.
"""

import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self, TextIO

from grader.errors import GraderError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.status import Status

PIPE_WIDTH = 100
_COUNTED = re.compile(r"\d+ of \d+")


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass
class Flags:
    """The flags that every command takes."""

    quiet: bool = False
    verbose: bool = False
    color: Color = Color.AUTO
    no_input: bool = False


flags = Flags()


def prepare() -> None:
    """Let a stream that cannot encode a character write it escaped, never fail over it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def colored(stream: TextIO) -> bool:
    """Whether to colour on `stream`: the flag, then NO_COLOR, then whether it is a terminal."""
    if flags.color is not Color.AUTO:
        return flags.color is Color.ALWAYS
    return not os.environ.get("NO_COLOR") and stream.isatty() and os.environ.get("TERM") != "dumb"


def live() -> bool:
    """Whether a line on stderr may be redrawn in place."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def console(stream: TextIO) -> "Console":
    """Return a Rich console for `stream` that keeps to the flags."""
    from rich.console import Console  # noqa: PLC0415 - slow, and not every command needs it

    color = colored(stream)
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(
        file=stream,
        force_terminal=color,
        color_system=("auto" if stream.isatty() else "standard") if color else None,
        no_color=not color,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


def show(*renderables: "RenderableType") -> None:
    """Lay the answer out on stdout."""
    out = console(sys.stdout)
    for renderable in renderables:
        out.print(renderable)


def answer(text: str) -> None:
    """Write the answer to stdout as it is."""
    sys.stdout.write(text + "\n")


def answer_json(value: object) -> None:
    """Write the answer to stdout as JSON."""
    from grader.formats import to_json  # noqa: PLC0415 - only here

    answer(to_json(value))


def say(text: str) -> None:
    """Tell one change of state on stderr; silent with -q."""
    _tell("", text)


def hint(text: str) -> None:
    """Tell what to do next, on stderr; silent with -q."""
    _tell(f"{_paint('hint', '36', sys.stderr)}: ", text)


def _tell(label: str, text: str) -> None:
    from grader.formats import safe  # noqa: PLC0415 - keeps this module free of the report's imports

    if not flags.quiet:
        sys.stderr.write(f"{label}{safe(text)}\n")
        sys.stderr.flush()


def complain(error: GraderError) -> None:
    """Tell an error: what, its cause, and the remedy."""
    from grader.formats import safe  # noqa: PLC0415 - only here

    lines = [f"{_paint('error', '1;31', sys.stderr)}[{error.code}]: {safe(error.what)}"]
    if error.cause:
        lines.append(f"{_paint('cause', '1', sys.stderr)}: {safe(error.cause)}")
    if error.hint:
        lines.append(f"{_paint('hint', '36', sys.stderr)}: {safe(error.hint)}")
    sys.stderr.write("\n".join(lines) + "\n")


def _paint(text: str, code: str, stream: TextIO) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colored(stream) else text


class Progress:
    """Phases of long work: one line redrawn on a terminal, one plain line for each elsewhere.

    Drawing starts a thread, so the first phase must be told after any fork.
    """

    def __init__(self, subject: str) -> None:
        """Draw nothing yet."""
        self.subject = subject
        self.last = self.kind = ""
        self.status: Status | None = None

    def __enter__(self) -> Self:
        """Draw nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        if self.status is not None:
            self.status.stop()

    def phase(self, text: str) -> None:
        """Tell that a phase has begun; of counted ones (`test 3 of 13`) a plain stream is told the first."""
        kind = _COUNTED.sub("", text)
        if flags.quiet or text == self.last or (kind == self.kind and not live()):
            return
        self.last, self.kind = text, kind
        if not live():
            say(f"{self.subject}: {text}")
            return
        from rich.text import Text  # noqa: PLC0415 - slow

        line = Text(f"{self.subject}: {text}")
        if self.status is None:
            self.status = console(sys.stderr).status(line)
            self.status.start()
        else:
            self.status.update(line)
