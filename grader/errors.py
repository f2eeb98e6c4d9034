"""Errors that end a command, each with a code, a cause and a remedy.

    GraderError            base: code, what, cause, hint, exit code
    +-- UsageError         2  the command line or the file named on it
    +-- ExerciseError      2  a malformed exercise folder: file, line, remedy
    +-- OurFault           3  the grader could not do its work; no attempt is used
    |   +-- NoGpu          9  this machine has no GPU that could be used
    +-- LoginNeeded        4  a server does not know who asks
    +-- NotFound           5  no such exercise, submission or judging
    |   +-- Pending        8  there is no report yet
    +-- NotAllowed         5  a server knows who asks, and refuses
    +-- LimitReached       6  too many, too often or too late
    +-- GaveUp             7  a server has not judged it in the time that was given; it will

What a *submission* does wrong is never one of these: it is a verdict (`grader.verdict`).
"""

from typing import ClassVar


class GraderError(Exception):
    """An error a person can act on: `code` (E and four digits), what, cause and hint."""

    exit_code: ClassVar[int] = 3

    def __init__(self, code: str, what: str, *, cause: str = "", hint: str = "") -> None:
        """Keep the parts apart, so that the terminal and JSON can each lay them out."""
        super().__init__(what)
        self.code = code
        self.what = what
        self.cause = cause
        self.hint = hint


class UsageError(GraderError):
    """The command cannot be carried out as it was given."""

    exit_code = 2


class ExerciseError(GraderError):
    """An exercise folder is malformed; `cause` starts with `file:line`."""

    exit_code = 2


class OurFault(GraderError):
    """The grader failed, not the submission."""


class NoGpu(OurFault):
    """A GPU is needed, and this machine has none that could be used now."""

    exit_code = 9


class NotFound(GraderError):
    """Nothing of that name or id is here, or not for this person."""

    exit_code = 5


class Pending(NotFound):
    """There will be a report, and is none yet."""

    exit_code = 8


class LoginNeeded(GraderError):
    """No token, or one that is not accepted."""

    exit_code = 4


class NotAllowed(GraderError):
    """The account or its token may not do this."""

    exit_code = 5


class LimitReached(GraderError):
    """What was asked for may be asked for again later: `seconds` from now, infinitely many where that is never."""

    exit_code = 6

    def __init__(self, code: str, what: str, *, cause: str = "", hint: str = "", seconds: float = 1.0) -> None:
        """Keep how long to wait as well."""
        super().__init__(code, what, cause=cause, hint=hint)
        self.seconds = seconds


class GaveUp(GraderError):
    """Nobody waits any longer; what was submitted is judged all the same."""

    exit_code = 7
