"""What the store takes and gives, and a server tells the command line: plain data, no rows and no sessions."""

import datetime as dt

import msgspec

from grader.verdict import Verdict


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A judging that waits; `attempt` counts from 1 for this learner and exercise.

    `replayed`: it had been sent before under the same key, and nothing was stored now.
    """

    submission: str
    judging: str
    attempt: int
    replayed: bool = False


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to judge, and all that judging needs.

    `token` is the number of this try: it fences, since a later claim has a higher one. `lost`
    counts the earlier claims whose holder died or let the lease run out. `overruled`: judge without
    the exercise's policy. `never_lower`: it is a regrade's that lowers nobody.
    """

    judging: str
    submission: str
    exercise: str
    version: str
    filename: str
    source: bytes
    seed: str
    token: int
    lost: int
    overruled: bool
    never_lower: bool


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: how many judgings wait in it, since when the first of them, and how many are being judged."""

    queue: str
    waiting: int
    oldest: dt.datetime | None
    running: int


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A submission without a verdict, by our own fault; `cause` is the last line of the judging's log."""

    judging: str
    submission: str
    exercise: str
    learner: str
    at: dt.datetime
    cause: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One judging in the list of a submission's; `version` is the exercise's that it was judged against.

    `counts` is false where it came lower than the one that stands, in a regrade that never lowers.
    """

    judging: str
    ordinal: int
    status: str
    verdict: Verdict | None
    score: float | None
    max_score: float | None
    counts: bool
    queue: str
    version: str
    phases: dict[str, dt.datetime]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a history: a submission, the judging that stands for it and, in a history, its `others`."""

    attempt: int
    submission: str
    judging: str
    created_at: dt.datetime
    status: str
    verdict: Verdict | None
    score: float | None
    max_score: float | None
    sha256: str
    filename: str
    others: list[Judged] = []


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a judging is: `phases` are moments by name, in the order in which they came."""

    judging: str
    submission: str
    learner: str
    exercise: str
    status: str
    verdict: Verdict | None
    queue: str
    phases: dict[str, dt.datetime]


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """A submission with all its judgings, the oldest first; `attempt` tells of the one that stands."""

    learner: str
    exercise: str
    attempt: Attempt
    judgings: list[Judged]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker must be told: that this judging waits."""

    judging: str
    queue: str
    priority: int


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """The judgings whose holder was lost: those that wait again, and those given up."""

    requeued: list[str]
    given_up: list[str]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an exercise's leaderboard; `name` is the one the learner chose to show.

    `speed_ratio`: how many times the reference's time it takes, to two digits; None where the exercise limits no time,
    or the submission was not accepted.
    """

    rank: int
    name: str
    score: float
    max_score: float
    speed_ratio: float | None = None
    reached_at: dt.datetime


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One submission as staff see it, with the judging that stands for it."""

    learner: str
    attempt: Attempt


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A submission whose verdict was reached against another version of its exercise."""

    submission: str
    learner: str
    attempt: int
    filename: str
    judging: str
    version: str
    verdict: Verdict
    score: float
    max_score: float
    seed: str
