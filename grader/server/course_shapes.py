"""What the routes of courses take and answer, as pydantic models: see `grader.server.shapes`, and `grader.course`."""

import datetime as dt
import re
from typing import Annotated, Literal

from pydantic import AwareDatetime, Base64Bytes, Field

from grader.course import LATE, NAME
from grader.formats import BookFormat
from grader.server.shapes import Body, Shape

Disclosure = Literal["never", "after_due", "always"]
_NAME = Field(pattern=rf"^(?:{NAME.pattern})$", examples=["hw1"])
_LOGIN = Field(min_length=1, max_length=100, examples=["ada"])
_REASON = Field(min_length=1, max_length=1000, pattern=r"\S", examples=["illness"])
_LATE = Field(pattern=re.sub(r"\?P<\w+>", "?:", rf"^(?:{LATE.pattern})$"), examples=["10%/day floor 50%"])
_MOST = 10**9


class NewCourse(Body):
    """A course to add; `timezone` is an IANA name, in which its times are told."""

    name: Annotated[str, _NAME]
    title: str = Field(default="", max_length=200, examples=["Deep learning"])
    timezone: str = Field(default="UTC", max_length=100, examples=["Europe/Berlin"])


class Course(Shape):
    """A course; learners are told of the assignments that are published."""

    name: str
    title: str
    timezone: str
    members: int
    assignments: list[str]


class CourseList(Shape):
    """Courses by name: for staff the organisation's, for learners those they are in."""

    courses: list[Course]


class Person(Shape):
    """Somebody on a roster; `login` is the name of their account."""

    login: str
    name: str
    given_name: str
    family_name: str
    identifier: str
    email: str
    cohort: str


class Member(Shape):
    """Somebody who is in a course or, with `left_at`, was."""

    person: Person
    left_at: dt.datetime | None


class Roster(Shape):
    """Who is in a course, by login."""

    members: list[Member]


class NewRoster(Body):
    """A roster: plain CSV, GitHub Classroom's, or OneRoster's users.csv."""

    content: Base64Bytes = Field(description="The file's bytes, in base64.", examples=["bG9naW4sbmFtZQphZGEsQWRhCg=="])
    skip_bad: bool = Field(default=False, description="Store the lines without a problem, where others have one.")
    let_go: bool = Field(default=False, description="Whoever the file does not have leaves the course.")
    dry_run: bool = Field(default=False, description="Store nothing, tell what would be.")


class LineProblem(Shape):
    """What is wrong with a line of a file, and what to do."""

    line: int
    what: str
    hint: str


class Imported(Shape):
    """What the import did or, not `stored`, would have done."""

    stored: bool
    form: str
    added: list[str]
    updated: list[str]
    unchanged: int
    missing: list[str]
    left: bool
    problems: list[LineProblem]


class NewItem(Body):
    """An exercise of an assignment."""

    exercise: str = Field(max_length=100, examples=["softmax"])
    points: float = Field(default=10.0, gt=0, le=1e6)
    disclosure: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")], Disclosure] = Field(
        default={}, max_length=200, description="By name of a test, where it is otherwise than the assignment's."
    )


class Item(Shape):
    """An exercise of an assignment; what is disclosed of single tests, staff alone are told."""

    exercise: str
    points: float
    disclosure: dict[str, Disclosure]


class Changes(Body):
    """What is to be changed of an assignment: what is left out stays."""

    title: str = Field(default="", max_length=200)
    items: list[NewItem] = Field(default=[], min_length=1, max_length=200)
    opens_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    closes_at: AwareDatetime | None = None
    late: Annotated[str, _LATE] = "none"
    attempts: int | None = Field(default=None, ge=1, le=_MOST)
    cooldown_seconds: int = Field(default=0, ge=0, le=_MOST)
    disclosure: Disclosure = "always"
    tokens: int = Field(default=0, ge=0, le=_MOST)
    token_seconds: int = Field(default=0, ge=0, le=_MOST)
    published: bool = False


class NewAssignment(Changes):
    """An assignment to add."""

    name: Annotated[str, _NAME]
    items: list[NewItem] = Field(min_length=1, max_length=200)


class Mine(Shape):
    """What is the caller's own of an assignment: their times, attempts left by exercise, release tokens left."""

    due_at: dt.datetime | None
    closes_at: dt.datetime | None
    attempts_left: dict[str, int | None]
    tokens_left: int


class Assignment(Shape):
    """An assignment; `mine` is for learners."""

    name: str
    title: str
    items: list[Item]
    opens_at: dt.datetime | None
    due_at: dt.datetime | None
    closes_at: dt.datetime | None
    late: str
    attempts: int | None
    cooldown_seconds: int
    disclosure: Disclosure
    tokens: int
    token_seconds: int
    published: bool
    mine: Mine | None = None


class NewExtension(Body):
    """What a learner is granted, in the place of what they were granted before; nothing takes that back."""

    due_at: AwareDatetime | None = None
    closes_at: AwareDatetime | None = None
    more_attempts: int = Field(default=0, ge=0, le=1000)
    reason: str = Field(default="", max_length=1000)


class Extension(Shape):
    """What a learner was granted."""

    login: str
    due_at: dt.datetime | None
    closes_at: dt.datetime | None
    more_attempts: int
    reason: str


class ExtensionList(Shape):
    """Extensions by login."""

    extensions: list[Extension]


class NewOverride(Body):
    """A score to set, in points of the assignment; null takes back the one that was set."""

    login: Annotated[str, _LOGIN]
    exercise: str = Field(max_length=100, examples=["softmax"])
    score: float | None = Field(ge=0, le=2e6)
    reason: Annotated[str, _REASON]


class Override(Shape):
    """A score that was set."""

    login: str
    exercise: str
    score: float | None
    reason: str


class Column(Shape):
    """An exercise of an assignment in a gradebook."""

    assignment: str
    title: str
    exercise: str
    points: float
    due_at: dt.datetime | None


class Cell(Shape):
    """`score` is `raw` less `penalty`, or what staff have set, for the reason `overridden`."""

    raw: float
    penalty: float
    score: float
    late_seconds: int
    sent: int
    submission: str
    at: dt.datetime | None
    overridden: str


class Line(Shape):
    """One learner's grades: a cell for each column, null where nothing was sent."""

    person: Person
    cells: list[Cell | None]
    raw: float
    penalty: float
    score: float


class Gradebook(Shape):
    """Grades by login: for staff a page, `next` is `after` of the next one; for learners their own line."""

    course: str
    timezone: str
    points: float
    columns: list[Column]
    lines: list[Line]
    next: str | None


class Fill(Body):
    """A file of Canvas or Moodle to put scores into."""

    form: Literal[BookFormat.CANVAS, BookFormat.MOODLE]
    content: Base64Bytes = Field(description="The file's bytes, in base64.")
    assignment: str = Field(default="", max_length=100)
    cohort: str = Field(default="", max_length=200)


class Filled(Shape):
    """The file with the scores in it."""

    text: str
    filled: int
    unknown: list[str] = Field(description="Rows of the file that are nobody of the course.")
    absent: list[str] = Field(description="Logins of the course that the file does not have.")


class NewAppeal(Body):
    """Why a grade is to be looked at again."""

    reason: Annotated[str, _REASON]


class Answer(Body):
    """The answer to an appeal; it changes no score."""

    accept: bool
    answer: str = Field(default="", max_length=1000)


class Appeal(Shape):
    """A request to look at a grade again."""

    id: str = Field(examples=["p_0199a3b1c7d24f0e"])
    assignment: str
    exercise: str
    login: str
    submission: str
    reason: str
    state: Literal["open", "accepted", "declined"]
    created_at: dt.datetime
    answer: str
    answered_by: str
    answered_at: dt.datetime | None


class AppealList(Shape):
    """Appeals: open ones first, then the newest; for learners their own."""

    appeals: list[Appeal]


class Released(Shape):
    """A report is shown whole from now on."""

    tokens_left: int


class Row(Shape):
    """A line of the first file beside one of the second; 0 where a side has no further line."""

    first: int
    left: str
    second: int
    right: str


class Block(Shape):
    """A run of tokens that two files share, and the lines it stands in."""

    tokens: int
    rows: list[Row]


class Match(Shape):
    """Learners whose files share what others lack; files on one side are alike token by token."""

    first: list[str]
    second: list[str]
    shared: int
    share: float = Field(description="`shared` by the fingerprints of the file that has fewer.")
    others: int = Field(description="The other pairs of the class.")
    as_similar: int = Field(description="How many of them have a share that is no less.")
    blocks: list[Block] = Field(description="Of the first file of each side.")


class Usual(Shape):
    """Shares that half, 95 or 99 of 100 do not exceed: of all pairs, and of everybody with their nearest."""

    pairs_50: float
    pairs_95: float
    pairs_99: float
    nearest_50: float
    nearest_95: float


class Similarity(Shape):
    """The most similar files, for a person to look at, beside what is usual for this exercise: no verdict."""

    files: int
    pairs: int
    common: int = Field(description="What more different files share is left out.")
    usual: Usual | None = Field(description="Missing where there are too few files to tell.")
    most: list[Match]
