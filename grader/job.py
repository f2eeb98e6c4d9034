"""What the judge's parent and child say to each other."""

from typing import NamedTuple

import msgspec

from grader.exercise import Exercise
from grader.report import Report


class Task(NamedTuple):
    """What the parent asks of the child first: which tests the submission will have to pass."""

    exercise: Exercise
    suite: str


class Job(msgspec.Struct, frozen=True):
    """What the parent asks of the child. `secret` keys the random numbers; `places` names a notebook's lines.

    Not `timed`: speed limits pass unmeasured. For the gate, which need not time what it has timed before.
    """

    source: bytes
    seed: str
    secret: bytes
    places: list[str]
    timed: bool = True


class Phase(msgspec.Struct, frozen=True, tag="phase"):
    """A sign of progress for the person who waits."""

    text: str


class Warned(msgspec.Struct, frozen=True, tag="warned"):
    """Something the person must be told even where nobody waits for progress."""

    text: str


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The sandbox has its libraries, and waits; its engine."""

    engine: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The parts of an error: this machine cannot judge as it was asked to, and nothing was begun.

    After `Done`: the judging is over, but its sandboxes could not be ended.
    """

    code: str
    what: str
    cause: str
    hint: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The report, and how near the comparisons came to their tolerances (test -> largest passed, smallest failed).

    `lost`: something outside ended the sandbox, so the judging says nothing and has to be repeated.
    """

    report: Report
    margins: dict[str, tuple[float, float]]
    lost: bool = False
