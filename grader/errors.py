"""Errors that end a command, each with a code, a cause and a remedy.

    GraderError            base: code, what, cause, hint, exit code
    +-- UsageError         2  the command line or the file named on it
    +-- ExerciseError      2  a malformed exercise folder: file, line, remedy
    +-- OurFault           3  the grader could not do its work; no attempt is used
    +-- NotFound           5  no such exercise, submission or judging

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


class NotFound(GraderError):
    """Nothing of that name or id is here, or not for this person."""

    exit_code = 5
