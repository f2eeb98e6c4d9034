"""Courses as the store, the API and the command line tell them: rosters, assignments, extensions, grades.

Times are whole seconds. A moment within the second of a deadline keeps it: `at <= due_at` is in time.
"""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from grader.errors import UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
"""What may be the name of a course or an assignment: a `/` stands between the two."""

Disclosure = Literal["never", "after_due", "always"]
HOUR_SECONDS, DAY_SECONDS = 3600, 86400
NEVER_LATE = "none"
_UNITS = {"day": DAY_SECONDS, "hour": HOUR_SECONDS}
_NUMBER = r"\d{1,3}(?:\.\d{1,4})?"
LATE = re.compile(rf"none|closed|(?P<percent>{_NUMBER})%/(?P<unit>day|hour)(?: floor (?P<floor>{_NUMBER})%)?")
"""How a late policy is written: `none`, `closed`, `10%/day`, `2.5%/hour floor 50%`."""


class Late(msgspec.Struct, frozen=True):
    """What lateness costs: `percent` of the score for each `unit` of seconds begun, but `floor` percent stay."""

    percent: float = 0.0
    unit: int = DAY_SECONDS
    floor: float = 0.0

    def factor(self, seconds: int) -> float:
        """Return the share of its score that a submission keeps that is so many seconds late."""
        units = (max(0, seconds) + self.unit - 1) // self.unit
        return max(100.0 - units * self.percent, self.floor) / 100.0


def late(text: str) -> Late:
    """Read a late policy. Raises UsageError E2305."""
    found = LATE.fullmatch(text)
    if found is None or float(found["percent"] or 0) > 100 or float(found["floor"] or 0) > 100:  # noqa: PLR2004
        raise UsageError(
            "E2305",
            f"{text!r} is not a late policy",
            cause="it is `none`, `closed` (nothing is taken after the due time), or percent for each day or hour begun",
            hint="for example 10%/day, or 10%/day floor 50%",
        )
    if found["percent"] is None:
        return Late()
    return Late(float(found["percent"]), _UNITS[found["unit"]], float(found["floor"] or 0))


def zone(name: str) -> dt.tzinfo:
    """Return a time zone by its IANA name. Raises UsageError E2304."""
    if name == "UTC":  # needs no data, which a bare machine lacks
        return dt.UTC
    import zoneinfo  # noqa: PLC0415 - every submission imports this module, and few need it

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            "E2304",
            f"there is no time zone {name!r}",
            cause="zones have IANA names, and this machine must have their data (the package tzdata)",
            hint="for example Europe/Berlin, America/New_York, Asia/Kolkata or UTC",
        ) from None


def moment(text: str, of: dt.tzinfo) -> dt.datetime:
    """Read `2026-10-05 18:00`, in a course's zone, or with its own offset; returned in UTC, whole seconds.

    Raises:
        UsageError: E2304 not understood, or a time that the clocks of that zone skip or show twice.

    """
    try:
        if not re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", text):
            raise ValueError  # noqa: TRY301  a date alone, a week: they leave the hour to be guessed
        found = dt.datetime.fromisoformat(text).replace(microsecond=0)
        if found.tzinfo is not None:
            return found.astimezone(dt.UTC)
        first, second = (found.replace(tzinfo=of, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        raise _no_time(text, "it is no date and time", 'write "2026-10-05 18:00", or 2026-10-05T18:00+02:00') from None
    if first == second:
        return first
    if first.astimezone(of).replace(tzinfo=None) != found:
        raise _no_time(text, f"the clocks of {of} skip it, as summer time begins", "choose another time")
    offsets = " or ".join(each.astimezone(of).isoformat() for each in (first, second))
    raise _no_time(text, f"the clocks of {of} show it twice, as summer time ends", f"write {offsets}")


def _no_time(text: str, cause: str, hint: str) -> UsageError:
    return UsageError("E2304", f"{text!r} is not a time", cause=cause, hint=hint)


def told(at: dt.datetime, of: dt.tzinfo) -> str:
    """Write a moment for people: `2026-10-05 18:00:00 +0200 (Europe/Berlin)`."""
    return f"{at.astimezone(of):%Y-%m-%d %H:%M:%S %z} ({of})"


class Actor(msgspec.Struct, frozen=True):
    """Who of the staff does something: the account, None on a machine without a server, and a name to show."""

    account: str | None
    name: str


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """A course of an organisation, empty on a machine without a server; `timezone` is what its times are told in."""

    name: str
    title: str
    timezone: str
    members: int
    assignments: list[str]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a roster; `login` is the name of the account. Without given and family name, `name` is all."""

    login: str
    name: str
    given_name: str = ""
    family_name: str = ""
    identifier: str = ""
    email: str = ""
    cohort: str = ""

    def parts(self) -> tuple[str, str]:
        """Return given and family name; where nobody has said, the last word is taken for the latter."""
        if self.given_name or self.family_name:
            return self.given_name, self.family_name
        given, _, family = self.name.rpartition(" ")
        return given, family


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A person on the roster as stored; `left_at`: they are in the course no more, and what they sent stays."""

    person: Person
    left_at: dt.datetime | None


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a line of a roster, and what to do."""

    line: int
    what: str
    hint: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, or would do; not `stored` because of problems, or because it was not to be.

    `missing` are members that the file does not have; `left` tells whether they were let go.
    """

    stored: bool
    form: str
    added: list[str]
    updated: list[str]
    unchanged: int
    missing: list[str]
    left: bool
    problems: list[Problem]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An exercise of an assignment; `disclosure` says otherwise than the assignment for tests by name."""

    exercise: str
    points: float
    disclosure: dict[str, Disclosure] = {}


def check_rules(item: Item, tests: Sequence[str]) -> None:
    """Raise UsageError E2307 where an item has a rule for none of its exercise's `tests`."""
    for name in item.disclosure:
        if name not in tests:
            raise UsageError(
                "E2307",
                f"{item.exercise} has no hidden test {name!r}",
                cause="a rule for it would disclose, or hide, nothing",
                hint=f"it has {', '.join(tests)}",
            )


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A set of exercises with times and rules; learners see it once it is published.

    `attempts` are for each exercise, None for any number. Of the `tokens` that a learner has, each comes back
    `token_seconds` after it was spent, with 0 never.
    """

    name: str
    title: str = ""
    items: list[Item]
    opens_at: dt.datetime | None = None
    due_at: dt.datetime | None = None
    closes_at: dt.datetime | None = None
    late: str = NEVER_LATE
    attempts: int | None = None
    cooldown_seconds: int = 0
    disclosure: Disclosure = "always"
    tokens: int = 0
    token_seconds: int = 0
    published: bool = False

    @property
    def points(self) -> float:
        """What it is worth."""
        return sum(item.points for item in self.items)


def overlap(one: Assignment, other: Assignment) -> list[str]:
    """Return the exercises that both assignments take at some moment: each submission then counts for both."""
    for first, second in ((one, other), (other, one)):
        ends = first.due_at if first.late == "closed" else first.closes_at
        if ends and second.opens_at and ends < second.opens_at:
            return []
    set_ = {item.exercise for item in other.items}
    return [item.exercise for item in one.items if item.exercise in set_]


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """What one learner is granted of an assignment: later times, more attempts; None leaves a time as it is."""

    login: str
    due_at: dt.datetime | None = None
    closes_at: dt.datetime | None = None
    more_attempts: int = 0
    reason: str = ""


class Mine(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment as it is for one learner, extension included; `attempts_left` by exercise, None for any number."""

    assignment: Assignment
    due_at: dt.datetime | None
    closes_at: dt.datetime | None
    attempts_left: dict[str, int | None]
    tokens_left: int


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A score that staff have set, in points of the assignment; `score` None takes it back."""

    login: str
    exercise: str
    score: float | None
    reason: str


class Appeal(msgspec.Struct, frozen=True, kw_only=True):
    """A learner's request to have a grade looked at again, and what became of it."""

    id: str
    assignment: str
    exercise: str
    login: str
    submission: str
    reason: str
    state: Literal["open", "accepted", "declined"]
    created_at: dt.datetime
    answer: str = ""
    answered_by: str = ""
    answered_at: dt.datetime | None = None


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One exercise of one assignment in a gradebook."""

    assignment: str
    title: str
    exercise: str
    points: float
    due_at: dt.datetime | None


class Cell(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a learner has for an exercise of an assignment: `score` is `raw` less `penalty`, or what staff have set.

    `sent` counts submissions; `late_seconds` is of the one that counts, which no other beats after its penalty.
    Without a `submission` none is judged yet.
    """

    raw: float = 0.0
    penalty: float = 0.0
    score: float = 0.0
    late_seconds: int = 0
    sent: int = 0
    submission: str = ""
    at: dt.datetime | None = None
    overridden: str = ""
    """Why staff have set the score."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One learner's grades: a cell for each column, None where nothing was sent, and the sums."""

    person: Person
    cells: list[Cell | None]
    raw: float
    penalty: float
    score: float


class Gradebook(msgspec.Struct, frozen=True, kw_only=True):
    """Grades by name of the learner; `next` is `after` of the next page, None at the end."""

    course: str
    timezone: str
    points: float
    columns: list[Column]
    lines: list[Line]
    next: str | None = None
