"""What the judge's parent and child say to each other."""

import msgspec

from grader.report import Report


class Job(msgspec.Struct, frozen=True):
    """What the parent asks of the child. `secret` keys the random numbers; `places` names a notebook's lines."""

    source: bytes
    seed: str
    secret: bytes
    places: list[str]


class Phase(msgspec.Struct, frozen=True, tag="phase"):
    """A sign of progress for the person who waits."""

    text: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The report, and how near the comparisons came to their tolerances (test -> largest passed, smallest failed)."""

    report: Report
    margins: dict[str, tuple[float, float]]
