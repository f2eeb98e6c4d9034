"""The verdicts a test or a judging can end with."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """How a test or a judging ended; members stand in order, worst first. No test is ever cancelled."""

    CANCELLED = "cancelled"
    INTERNAL_ERROR = "internal_error"
    POLICY_VIOLATION = "policy_violation"
    PROTOCOL_VIOLATION = "protocol_violation"
    MEMORY_LIMIT_EXCEEDED = "memory_limit_exceeded"
    TIME_LIMIT_EXCEEDED = "time_limit_exceeded"
    OUTPUT_LIMIT_EXCEEDED = "output_limit_exceeded"
    IMPORT_ERROR = "import_error"
    RUNTIME_ERROR = "runtime_error"
    WRONG_ANSWER = "wrong_answer"
    ACCEPTED = "accepted"


UNJUDGED = (Verdict.CANCELLED, Verdict.INTERNAL_ERROR)
"""They say nothing about a submission: it is not scored, uses no attempt, and speaks for nobody."""

_SEVERITY = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of `verdicts`; none at all is our fault, never a pass."""
    return min(verdicts, key=_SEVERITY.__getitem__, default=Verdict.INTERNAL_ERROR)


class Rejected(AssertionError):  # noqa: N818 - a judgement, not an error of ours
    """A test does not pass through the submission's doing; `message` is for the student.

    Checkers and the submission's proxy raise it. Any other exception in a hidden test is our fault.
    """

    def __init__(self, message: str, verdict: Verdict = Verdict.WRONG_ANSWER) -> None:
        """Carry the verdict the test ends with."""
        super().__init__(message)
        self.verdict = verdict
        self.message = message
