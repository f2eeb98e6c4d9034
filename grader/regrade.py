"""What a regrade is and what it changes, as the store, the API and the command line tell it."""

import datetime as dt

import msgspec

from grader.verdict import Verdict


def share(score: float | None, max_score: float | None) -> float:
    """Return the share of the points, 0 to 1: what is compared where versions of an exercise have other points."""
    return (score or 0.0) / max_score if max_score else 0.0


class Regrading(msgspec.Struct, frozen=True, kw_only=True):
    """A regrade and how far it is: of `total`, `waiting` are queued or running, `done` are, `failed` of these by us."""

    regrade: str
    exercise: str
    version: str
    never_lower: bool
    by: str
    created_at: dt.datetime
    ended_at: dt.datetime | None
    total: int
    waiting: int
    done: int
    failed: int
    organisation: str = ""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a judging gave; without a `judging` it was not stored."""

    judging: str
    version: str
    verdict: Verdict
    score: float
    max_score: float

    @property
    def share(self) -> float:
        """The share of the points, 0 to 1."""
        return share(self.score, self.max_score)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A submission that a regrade judged otherwise than it was; `counts` is false where it stays as it was."""

    learner: str
    submission: str
    attempt: int
    before: Mark
    after: Mark
    counts: bool
