"""Grades as other platforms read them, and put into the files that they hand out."""

import csv
import datetime as dt
import io
from xml.etree import ElementTree as ET

import msgspec
import pytest

from grader import exports
from grader.cells import neutral, plain
from grader.course import Cell, Column, Gradebook, Line, Person
from grader.errors import UsageError
from grader.formats import BookFormat

DUE = dt.datetime(2026, 10, 12, 16, tzinfo=dt.UTC)
AT = DUE + dt.timedelta(hours=30)
EVIL = '=HYPERLINK("x")'


def line(person, *cells):
    """Return a line with its sums."""
    there = [cell for cell in cells if cell]
    sums = {name: sum(getattr(cell, name) for cell in there) for name in ("raw", "penalty", "score")}
    return Line(person=person, cells=list(cells), **sums)


@pytest.fixture
def book():
    """Return grades of two assignments: one late, one set by staff, one not judged, one who sent nothing."""
    columns = [
        Column(assignment="hw1", title="Homework 1", exercise="softmax", points=10.0, due_at=DUE),
        Column(assignment="hw1", title="Homework 1", exercise="adam", points=20.0, due_at=DUE),
        Column(assignment="hw2", title="Homework 2", exercise="conv2d", points=5.0, due_at=None),
    ]
    late = Cell(raw=8.0, penalty=1.6, score=6.4, late_seconds=108_000, sent=2, submission="s_1", at=AT)
    given = Cell(score=15.0, overridden=EVIL)
    people = [
        Person(login="ada", name="Ada Lovelace", identifier="1", email="ada@example.org", cohort="a"),
        Person(login="bob", name=EVIL, given_name="Bob", family_name="-Byte", identifier="2", email="bob@example.org"),
        Person(login="cyd", name="Cyd", identifier="3", email="cyd@example.org"),
    ]
    lines = [
        line(people[0], late, given, Cell(sent=1)),
        line(people[1], None, None, Cell(raw=5.0, score=5.0, sent=1, submission="s_2", at=DUE)),
        line(people[2], None, None, None),
    ]
    return Gradebook(course="dl", timezone="Europe/Berlin", points=35.0, columns=columns, lines=lines)


def rows(text):
    """Read CSV as dicts."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("form", [form for form in BookFormat if form is not BookFormat.JUNIT])
def test_no_cell_of_any_csv_acts(book, form):
    """Names and reasons come from people: each is as `neutral` makes it."""
    text = exports.write(book, form)
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert [cell for cell in cells if neutral(plain(cell)) != cell] == []
    assert neutral("-Byte") in text or neutral(EVIL).replace('"', '""') in text


def test_plain_csv_has_raw_penalty_and_score(book):
    """A row for each learner and exercise, with what the penalty is for."""
    first, second, third, *_ = rows(exports.write(book, BookFormat.CSV))
    assert (first["login"], first["assignment"], first["exercise"]) == ("ada", "hw1", "softmax")
    assert [first[key] for key in ("raw", "penalty", "score", "max_score")] == ["8", "1.6", "6.4", "10"]
    assert (first["submitted_at"], first["late_seconds"]) == ("2026-10-14 00:00:00 +0200", "108000")
    assert (second["score"], plain(second["override_reason"])) == ("15", EVIL)
    assert [third[key] for key in ("submissions", "submission", "raw", "penalty", "score")] == ["1", "", "", "", ""]
    assert len(rows(exports.write(book, BookFormat.CSV))) == 9
    assert exports.write(book, BookFormat.CSV, bom=True).startswith("\ufeffcourse,")


def test_canvas_has_points_possible_and_blanks_for_what_is_not_there(book):
    """Whoever has nothing judged gets no zero."""
    possible, ada, bob, cyd = rows(exports.write(book, BookFormat.CANVAS))
    assert possible["Student"] == "    Points Possible"
    assert [possible[title] for title in ("Homework 1", "Homework 2")] == ["30", "5"]
    assert (ada["Student"], ada["SIS Login ID"], ada["SIS User ID"]) == ("Lovelace, Ada", "ada", "1")
    assert [ada["Homework 1"], ada["Homework 2"]] == ["21.4", ""]
    assert [bob["Homework 1"], bob["Homework 2"]] == ["", "5"]
    assert [cyd["Homework 1"], cyd["Homework 2"]] == ["", ""]


def test_nbgrader_has_its_columns(book):
    """Raw, penalty and score for each assignment."""
    found = rows(exports.write(book, BookFormat.NBGRADER))
    assert list(found[0]) == [
        *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
        *("raw_score", "late_submission_penalty", "score", "max_score"),
    ]
    assert len(found) == 6
    assert found[0]["duedate"] == "2026-10-12 16:00:00"
    assert [found[0][key] for key in ("last_name", "first_name", "raw_score", "score")] == [
        "Lovelace",
        "Ada",
        "8",
        "21.4",
    ]
    assert (found[1]["last_name"], found[1]["first_name"]) == ("'-Byte", "Bob")


def test_gradescope_has_lateness_as_hours(book):
    """Four columns for each assignment, and the sum."""
    ada = rows(exports.write(book, BookFormat.GRADESCOPE))[0]
    assert (ada["First Name"], ada["Last Name"], ada["SID"], ada["Sections"]) == ("Ada", "Lovelace", "1", "a")
    assert (ada["Homework 1"], ada["Homework 1 - Max Points"]) == ("21.4", "30")
    assert ada["Homework 1 - Lateness (H:M:S)"] == ada["Total Lateness (H:M:S)"] == "30:00:00"
    assert ada["Homework 2 - Lateness (H:M:S)"] == ""


def test_junit_is_xml_that_adds_up(book):
    """A case for each learner and exercise; what is not there is skipped, what lacks points failed."""
    root = ET.fromstring(exports.write(book, BookFormat.JUNIT))  # noqa: S314 - our own output
    counts = [{key: int(suite.get(key, "")) for key in ("tests", "failures", "skipped")} for suite in root]
    assert counts == [{"tests": 6, "failures": 2, "skipped": 4}, {"tests": 3, "failures": 0, "skipped": 2}]
    assert [len(suite.findall("testcase")) for suite in root] == [6, 3]
    assert [len(suite.findall("testcase/failure")) for suite in root] == [2, 0]
    assert [each.get("value") for each in root.iter("property") if each.get("name") == "override"] == [EVIL]


def test_junit_holds_any_name(book):
    """Quotes, angle brackets, control characters, halves of pairs."""
    odd = Person(login='a"<&\x01\ud800\n', name="x")
    text = exports.write(msgspec.structs.replace(book, lines=[line(odd, None, None, None)]), BookFormat.JUNIT)
    assert ET.fromstring(text.encode())[0][0].get("name") == 'a"<&\\x01\\ud800\n: softmax'  # noqa: S314


CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Homework 1 (4711),Quiz (12),Current Score
    Points Possible,,,,,30.0,10.0,(read only)
"Lovelace, Ada",101,1,ada,Monday,,7.5,81
"Byte, Bob",102,2,,Monday,3,EX,
"=Cyd",103,,cyd,Tuesday,EX,-1,
"Dan, Dee",104,9,dan,Tuesday,12,8,
"Student, Test",105,,,Monday,,,
"""


def test_canvas_own_file_comes_back_with_the_scores_in_it(book):
    """All else stays as it was: order, ids, other columns, excused cells; an unknown assignment gets a new column."""
    filled = exports.fill(book, BookFormat.CANVAS, CANVAS.encode("utf-8-sig"))
    assert filled.text.startswith("\ufeffStudent,")
    before, after = rows(CANVAS), rows(filled.text.removeprefix("\ufeff"))
    assert list(after[0]) == [*before[0], "Homework 2"]
    changed = {
        (row["ID"], heading): row[heading]
        for was, row in zip(before, after, strict=True)
        for heading in row
        if was.get(heading, "") != row[heading]
    }
    assert changed == {
        ("", "Homework 2"): "5",
        ("101", "Homework 1 (4711)"): "21.4",
        ("102", "Homework 2"): "5",
        ("103", "Student"): "'=Cyd",
    }
    assert (filled.filled, filled.unknown, filled.absent) == (3, ["Dan, Dee", "Student, Test"], [])


def test_filling_in_again_changes_nothing(book):
    """A file that went through once has the title found, and the same scores."""
    once = exports.fill(book, BookFormat.CANVAS, CANVAS.encode()).text
    assert exports.fill(book, BookFormat.CANVAS, once.encode()).text == once


def test_our_own_canvas_file_can_be_filled_in(book):
    """What we write is what we read."""
    text = exports.write(book, BookFormat.CANVAS)
    assert exports.fill(book, BookFormat.CANVAS, text.encode()).text == text


MOODLE = """Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed",Notes
"Participant 7","Ada Lovelace",ADA@example.org,"Submitted for grading",,5.00,Yes,-
"Participant 8",Bob,bob@example.org,-,,5.00,Yes,-
"Participant 9",Cyd,cyd@example.org,-,2,5.00,No,-
"""


def test_moodles_worksheet_comes_back_with_the_grade(book):
    """Of one assignment; whom Moodle does not let change, stays."""
    one = msgspec.structs.replace(
        book, columns=book.columns[2:], lines=[line(each.person, *each.cells[2:]) for each in book.lines]
    )
    filled = exports.fill(one, BookFormat.MOODLE, MOODLE.encode())
    assert [row["Grade"] for row in rows(filled.text)] == ["", "5", "2"]
    assert [row["Identifier"] for row in rows(filled.text)] == ["Participant 7", "Participant 8", "Participant 9"]
    assert (filled.filled, filled.unknown, filled.absent) == (3, [], [])
    with pytest.raises(UsageError, match="one assignment"):
        exports.fill(book, BookFormat.MOODLE, MOODLE.encode())
    with pytest.raises(UsageError, match="something else in Moodle"):
        exports.fill(one, BookFormat.MOODLE, MOODLE.replace("5.00", "100.00").encode())


@pytest.mark.parametrize(
    ("form", "content"),
    [
        (BookFormat.CANVAS, b""),
        (BookFormat.CANVAS, b"Student,Grade\nAda,1\n"),
        (BookFormat.CANVAS, b"Student,SIS Login ID\nAda,ada\n"),
        (BookFormat.CANVAS, "Student,SIS Login ID\n    Points Possible,\nZoë,zoe\n".encode("latin-1")),
        (BookFormat.CANVAS, CANVAS.replace("30.0", "100").encode()),
        (BookFormat.CANVAS, b'Student,SIS Login ID\n"Ada'),
        (BookFormat.MOODLE, b"Name,Note\n"),
        (BookFormat.NBGRADER, b"x"),
    ],
)
def test_a_file_that_is_not_theirs_is_refused(book, form, content):
    """With where to get the right one."""
    with pytest.raises(UsageError) as caught:
        exports.fill(book, form, content)
    assert caught.value.code == "E2306"
    assert caught.value.cause
    assert caught.value.hint
