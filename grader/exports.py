"""A gradebook as files that other platforms read, and scores filled into the files that they hand out.

    csv         a row for each learner and exercise: raw score, penalty, score
    canvas      Canvas's gradebook: a column for each assignment, a row `Points Possible`
    moodle      Moodle's grade import: learners by email and id number
    nbgrader    the columns of `nbgrader export`
    gradescope  the columns of Gradescope's `Download Grades`
    junit       JUnit XML: a suite for each assignment, a case for each learner and exercise

Every cell that comes from a person goes through `grader.cells.neutral`.
"""

import csv
import datetime as dt
import io
import unicodedata
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from grader.cells import kept, neutral, plain
from grader.cells import write as write_csv
from grader.course import Cell, Gradebook, Line, Person
from grader.errors import UsageError
from grader.formats import BookFormat, safe

MOST_BYTES = 8 * 2**20


FILLED = (BookFormat.CANVAS, BookFormat.MOODLE)
"""The forms of which the platform hands out a file to fill in."""


def number(value: float) -> str:
    """Write a score so that it reads the same everywhere: no exponent, four decimals at most."""
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def write(book: Gradebook, form: BookFormat, *, bom: bool = False) -> str:
    """Write a gradebook; `bom` tells Excel that a CSV is UTF-8."""
    match form:
        case BookFormat.CSV:
            rows = _plain(book)
        case BookFormat.CANVAS:
            rows = _canvas(book)
        case BookFormat.MOODLE:
            rows = _moodle(book)
        case BookFormat.NBGRADER:
            rows = _nbgrader(book)
        case BookFormat.GRADESCOPE:
            rows = _gradescope(book)
        case BookFormat.JUNIT:
            return _junit(book)
    return write_csv(rows, bom=bom)


@dataclass(frozen=True)
class _Sum:
    """What a learner has for a whole assignment; `at` is the last submission that counts."""

    raw: float
    penalty: float
    score: float
    late_seconds: int
    at: dt.datetime | None
    sent: bool


@dataclass(frozen=True)
class _Group:
    """An assignment with its columns of the gradebook."""

    name: str
    title: str
    points: float
    due_at: dt.datetime | None
    places: list[int]

    def sum(self, line: Line) -> _Sum:
        there = [cell for place in self.places if (cell := line.cells[place]) is not None]
        return _Sum(
            raw=sum(cell.raw for cell in there),
            penalty=sum(cell.penalty for cell in there),
            score=sum(cell.score for cell in there),
            late_seconds=max((cell.late_seconds for cell in there), default=0),
            at=max((cell.at for cell in there if cell.at), default=None),
            sent=any(cell.submission or cell.overridden for cell in there),
        )


def _groups(book: Gradebook) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for place, column in enumerate(book.columns):
        group = groups.get(column.assignment)
        places = [*group.places, place] if group else [place]
        points = column.points + (group.points if group else 0.0)
        groups[column.assignment] = _Group(column.assignment, column.title, points, column.due_at, places)
    return list(groups.values())


def _local(at: dt.datetime | None, book: Gradebook) -> str:
    if at is None:
        return ""
    zone = dt.UTC if book.timezone == "UTC" else zoneinfo.ZoneInfo(book.timezone)
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


def _last_first(person: Person) -> str:
    given, family = person.parts()
    return f"{family}, {given}" if given and family else person.name


def _plain(book: Gradebook) -> Iterator[Sequence[str]]:
    yield (
        *("course", "assignment", "exercise", "login", "name", "identifier", "email", "cohort"),
        *("submission", "submitted_at", "late_seconds", "submissions", "raw", "penalty", "score", "max_score"),
        "override_reason",
    )
    for line in book.lines:
        who = line.person
        person = [neutral(each) for each in (who.login, who.name, who.identifier, who.email, who.cohort)]
        for column, cell in zip(book.columns, line.cells, strict=True):
            found = cell or Cell()
            judged = found.submission or found.overridden
            scores = map(number, (found.raw, found.penalty, found.score)) if judged else ("", "", "")
            yield (
                *(book.course, column.assignment, column.exercise, *person),
                *(found.submission, _local(found.at, book), str(found.late_seconds), str(found.sent)),
                *(*scores, number(column.points), neutral(found.overridden)),
            )


def _canvas(book: Gradebook) -> Iterator[Sequence[str]]:
    groups = _groups(book)
    blank = [""] * 4
    yield ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(neutral(group.title) for group in groups))
    yield ("    Points Possible", *blank, *(number(group.points) for group in groups))
    for line in book.lines:
        who = line.person
        person = (_last_first(who), "", who.identifier, who.login, who.cohort)
        sums = [group.sum(line) for group in groups]
        yield (*map(neutral, person), *(number(each.score) if each.sent else "" for each in sums))


def _moodle(book: Gradebook) -> Iterator[Sequence[str]]:
    groups = _groups(book)
    yield ("Username", "ID number", "Full name", "Email address", *(neutral(group.title) for group in groups))
    for line in book.lines:
        who = line.person
        sums = [group.sum(line) for group in groups]
        person = map(neutral, (who.login, who.identifier, who.name, who.email))
        yield (*person, *(number(each.score) if each.sent else "" for each in sums))


def _nbgrader(book: Gradebook) -> Iterator[Sequence[str]]:
    yield (
        *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
        *("raw_score", "late_submission_penalty", "score", "max_score"),
    )
    for group in _groups(book):
        for line in book.lines:
            found = group.sum(line)
            given, family = line.person.parts()
            yield (
                *(group.name, _utc(group.due_at), _utc(found.at)),
                *map(neutral, (line.person.login, family, given, line.person.email)),
                *(number(found.raw), number(found.penalty), number(found.score), number(group.points)),
            )


def _utc(at: dt.datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S")


def _gradescope(book: Gradebook) -> Iterator[Sequence[str]]:
    groups = _groups(book)
    more = [
        neutral(f"{group.title}{end}")
        for group in groups
        for end in ("", " - Max Points", " - Submission Time", " - Lateness (H:M:S)")
    ]
    yield ("First Name", "Last Name", "SID", "Email", "Sections", *more, "Total Lateness (H:M:S)")
    for line in book.lines:
        who = line.person
        given, family = who.parts()
        cells, total = [], 0
        for group in groups:
            found = group.sum(line)
            total += found.late_seconds
            scores = [number(found.score) if found.sent else "", number(group.points)]
            cells += [*scores, _local(found.at, book), _clock(found.late_seconds) if found.sent else ""]
        yield (*map(neutral, (given, family, who.identifier, who.email, who.cohort)), *cells, _clock(total))


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _junit(book: Gradebook) -> str:
    # By hand: ElementTree takes seconds for the cases of a large class.
    suites = []
    for group in _groups(book):
        name = _attribute(f"{book.course}.{group.name}")
        columns = [
            (place, book.columns[place].points, _attribute(book.columns[place].exercise)) for place in group.places
        ]
        cases: list[str] = []
        skipped = failures = 0
        for line in book.lines:
            login = _attribute(line.person.login)
            for place, points, exercise in columns:
                cell = line.cells[place]
                cases.append(f'    <testcase classname="{name}" name="{login}: {exercise}">')
                if cell is None or not (cell.submission or cell.overridden):
                    cases.append('      <skipped message="nothing is judged" /></testcase>')
                    skipped += 1
                    continue
                said = (("raw", cell.raw), ("penalty", cell.penalty), ("score", cell.score), ("max_score", points))
                properties = "".join(f'<property name="{key}" value="{number(value)}" />' for key, value in said)
                if cell.overridden:
                    properties += f'<property name="override" value="{_attribute(cell.overridden)}" />'
                cases.append(f"      <properties>{properties}</properties>")
                if cell.score < points:
                    cases.append(f'      <failure message="{number(cell.score)} of {number(points)} points" />')
                    failures += 1
                cases.append("    </testcase>")
        tests = len(book.lines) * len(columns)
        counts = f'tests="{tests}" failures="{failures}" skipped="{skipped}" errors="0"'
        suites += [
            f'  <testsuite name="{_attribute(f"{book.course}/{group.name}")}" {counts}>',
            *cases,
            "  </testsuite>",
        ]
    return "\n".join([f'<testsuites name="{_attribute(book.course)}">', *suites, "</testsuites>", ""])


def _attribute(text: str) -> str:
    """Return a text as an attribute of XML, between double quotes, can hold it."""
    if not text.isprintable():
        text = "".join(char if unicodedata.category(char) not in {"Cs", "Cn", "Co"} else "?" for char in safe(text))
    return escape(text, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


@dataclass(frozen=True)
class Filled:
    """A platform's file with scores in it; `unknown` are its rows of people who are not in the gradebook."""

    text: str
    filled: int
    unknown: list[str]
    absent: list[str]
    """People in the gradebook who are not in the file."""


def fill(book: Gradebook, form: BookFormat, content: bytes) -> Filled:
    """Fill scores into the CSV that Canvas or Moodle has handed out, which is otherwise kept.

    Canvas: each assignment goes into the column that bears its title, with or without Canvas's number after it, or
    into a new one at the end. Moodle's worksheet is of one assignment: its score goes into the column `Grade`.

    Raises:
        UsageError: E2306 it is no such file.

    """
    if form not in FILLED:
        raise _not_theirs(f"{form} hands out no file to fill in", "fill in canvas or moodle", form)
    text, bom = _text(content, form)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise _not_theirs("the file is no CSV", str(error), form) from None
    rows = [row for row in rows if row]
    if not rows:
        raise _not_theirs("the file is empty", "it has no line of headings", form)
    width = max(map(len, rows))
    rows = [row + [""] * (width - len(row)) for row in rows]
    done = _fill_canvas(book, rows) if form is BookFormat.CANVAS else _fill_moodle(book, rows)
    return Filled(write_csv(([kept(cell) for cell in row] for row in rows), bom=bom), *done)


def _text(content: bytes, form: BookFormat) -> tuple[str, bool]:
    if len(content) > MOST_BYTES:
        raise _not_theirs("the file is too large", f"it has more than {MOST_BYTES // 2**20} MiB", form)
    try:
        return content.decode("utf-8-sig"), content.startswith(b"\xef\xbb\xbf")
    except UnicodeDecodeError as error:
        raise _not_theirs("the file is not UTF-8", str(error), form) from None


def _fill_canvas(book: Gradebook, rows: list[list[str]]) -> tuple[int, list[str], list[str]]:
    headings = rows[0]
    where = {heading: place for place, heading in reversed(list(enumerate(headings)))}
    if "Student" not in where or not where.keys() & {"SIS Login ID", "SIS User ID"}:
        cause = "it lacks the columns Student and SIS Login ID or SIS User ID"
        raise _not_theirs("the file is no gradebook of Canvas", cause, BookFormat.CANVAS)
    possible = next((row for row in rows[1:3] if row[where["Student"]].strip() == "Points Possible"), None)
    if possible is None:
        raise _not_theirs("the file is no gradebook of Canvas", "it has no row Points Possible", BookFormat.CANVAS)
    first = rows.index(possible) + 1
    places = []
    for group in _groups(book):
        place = next((nth for nth, heading in enumerate(headings) if _is_title(plain(heading), group.title)), None)
        if place is None:
            place = len(headings)
            for row in rows:
                row.append("")
            headings[place], possible[place] = group.title, number(group.points)
        elif _differs(possible[place], group.points):
            cause = f"{headings[place]!r} has {possible[place]} points in Canvas and {number(group.points)} here"
            raise _worth("Canvas", cause)
        places.append((group, place))

    def keys(row: list[str]) -> Iterable[tuple[str, str]]:
        for kind, heading in (("login", "SIS Login ID"), ("identifier", "SIS User ID")):
            if heading in where:
                yield kind, row[where[heading]]

    def put(row: list[str], line: Line) -> None:
        for group, place in places:
            found = group.sum(line)
            if found.sent and row[place].strip() not in {"EX", "N/A"}:  # excused, not assigned
                row[place] = number(found.score)

    return _match(book, rows[first:], keys, put, where["Student"])


def _is_title(heading: str, title: str) -> bool:
    base, _, number_ = heading.rpartition(" (")
    return heading == title or (base == title and number_.endswith(")") and number_[:-1].isdigit())


def _differs(cell: str, points: float) -> bool:
    try:
        return abs(float(cell) - points) > 1e-6  # noqa: PLR2004  what is lost in writing
    except ValueError:
        return False  # `(read only)`, or a column of Canvas's own


def _fill_moodle(book: Gradebook, rows: list[list[str]]) -> tuple[int, list[str], list[str]]:
    groups = _groups(book)
    if len(groups) != 1:
        raise _not_theirs(
            "a worksheet of Moodle is of one assignment", f"the gradebook has {len(groups)}", BookFormat.MOODLE
        )
    headings = [heading.strip().casefold() for heading in rows[0]]
    where = {heading: place for place, heading in reversed(list(enumerate(headings)))}
    if "grade" not in where or "email address" not in where:
        cause = "it lacks the columns Grade and Email address (Moodle writes them in the language that you have chosen)"
        raise _not_theirs("the file is no grading worksheet of Moodle", cause, BookFormat.MOODLE)
    group = groups[0]
    most, changeable = where.get("maximum grade"), where.get("grade can be changed")

    def keys(row: list[str]) -> Iterable[tuple[str, str]]:
        yield "email", row[where["email address"]]
        for heading in ("id number", "username"):
            if heading in where:
                yield {"id number": "identifier"}.get(heading, "login"), row[where[heading]]

    def put(row: list[str], line: Line) -> None:
        found = group.sum(line)
        if not found.sent or (changeable is not None and row[changeable].strip().casefold() == "no"):
            return
        if most is not None and _differs(row[most], group.points):
            cause = f"it has {row[most]} as maximum and the assignment {number(group.points)}"
            raise _worth("Moodle", cause)
        row[where["grade"]] = number(found.score)

    return _match(book, rows[1:], keys, put, where.get("full name", where["email address"]))


def _match(
    book: Gradebook,
    rows: list[list[str]],
    keys: Callable[[list[str]], Iterable[tuple[str, str]]],
    put: Callable[[list[str], Line], None],
    name: int,
) -> tuple[int, list[str], list[str]]:
    """Put each row's learner's scores into it; return how many rows, whom only the file has, and whom only the book."""
    by = {
        kind: {value.casefold(): line for line in book.lines if (value := getattr(line.person, kind))}
        for kind in ("login", "identifier", "email")
    }
    met, unknown = set(), []
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        found = (by[kind].get(plain(value).strip().casefold()) for kind, value in keys(row) if value.strip())
        line = next((each for each in found if each is not None), None)
        if line is None:
            unknown.append(plain(row[name]))
            continue
        met.add(line.person.login)
        put(row, line)
    return len(met), unknown, [line.person.login for line in book.lines if line.person.login not in met]


def _worth(platform: str, cause: str) -> UsageError:
    hint = f"make them equal: in {platform}, or grader assignment set COURSE/NAME EXERCISE:POINTS"
    return UsageError("E2306", f"an assignment is worth something else in {platform}", cause=cause, hint=hint)


def _not_theirs(what: str, cause: str, form: BookFormat) -> UsageError:
    if form is BookFormat.CANVAS:
        hint = "in Canvas: Grades, Export, Export Entire Gradebook"
    else:
        hint = "in Moodle: the assignment, View all submissions, Download grading worksheet, in English"
    return UsageError("E2306", what, cause=cause, hint=hint)
