"""Courses on a machine without a server: what the commands say, keep and refuse."""

import csv
import io
import json
import sys

import pytest

from grader.cli import courses
from grader.errors import UsageError
from grader.similarity import Block, Row
from tests.conftest import KINDS, RIGHT, write

ROSTER = "login,name,cohort\nada,Ada Lovelace,a\nbob,Bob Byte,b\n"


@pytest.fixture
def ada(grader, tmp_path, work):
    """Return a function: run a command as ada, where there is the exercise `double` and a right file for it."""
    write(tmp_path, KINDS["function"])
    (work / "double.py").write_bytes(RIGHT["function"])
    (work / "roster.csv").write_text(ROSTER)
    place = {"GRADER_EXERCISES": str(tmp_path / "exercises"), "GRADER_LEARNER": "ada", "GRADER_ENGINE": "local"}

    def run(*arguments, code=0, **changes):
        done = grader(*arguments, **(place | changes))
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture
def course(ada):
    """Make the course `dl` with its roster."""
    assert ada("course", "new", "dl", "--timezone", "Europe/Berlin").stdout == "dl\n"
    ada("course", "roster", "dl", "roster.csv")


@pytest.mark.usefixtures("course")
def test_a_grade_from_a_submission_to_canvas(ada):
    """Set, submitted, graded, appealed, and on its way to the platform in its own file."""
    ada("assignment", "new", "dl/hw1", "double:10", "--due", "2150-01-01 18:00", "--publish")
    sent = json.loads(ada("submit", "double.py", "--json").stdout)["submission"]
    appeal = ada("appeal", sent, "--reason", "why?").stdout.split("\t")[0]
    assert "appeal" in ada("course", "answer", "dl", appeal, "--accept", "--text", "right").stderr
    (listed,) = json.loads(ada("course", "appeals", "dl", "--json").stdout)["appeals"]
    assert (listed["id"], listed["state"], listed["answer"]) == (appeal, "accepted", "right")
    book = json.loads(ada("gradebook", "dl", "--json").stdout)
    assert (book["schema"], [line["score"] for line in book["lines"]]) == ("grader/gradebook/1", [10, 0])
    assert ada("gradebook", "dl").stdout.splitlines()[1:] == ["ada\tAda Lovelace\t10\t10", "bob\tBob Byte\t-\t0"]
    ada("gradebook", "dl", "--format", "canvas", "-o", "ours.csv")
    done = ada("gradebook", "dl/hw1", "--format", "canvas", "--into", "ours.csv")
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert [row[-1] for row in rows] == ["hw1", "10", "10", ""]
    other = ada("assignment", "new", "dl/hw2", "double", "--publish").stderr
    assert "hint: double: dl/hw2 and dl/hw1 are open at the same time; a submission counts" in other
    ada("assignment", "override", "dl/hw1", "double", "bob", "7.5", "--reason", "oral")
    assert ada("gradebook", "dl", "--cohort", "b").stdout.splitlines()[1] == "bob\tBob Byte\t7.5 *\t-\t7.5"


@pytest.mark.usefixtures("course")
def test_what_is_not_taken_exits_with_6_and_says_when(ada):
    """Before it opens, after it closes, without an attempt left; an extension lets in."""
    ada("assignment", "new", "dl/hw1", "double", "--opens", "2150-01-01 10:00", "--publish")
    refused = ada("submit", "double.py", code=6).stderr
    assert "error[E6201]: dl/hw1 is not open yet\ncause: it opens at 2150-01-01 10:00:00 +0100" in refused
    ada("assignment", "set", "dl/hw1", "--opens", "2020-01-01 10:00", "--closes", "2020-02-01 10:00")
    assert "error[E6202]" in ada("submit", "double.py", code=6).stderr
    ada("assignment", "set", "dl/hw1", "--closes", "none", "--attempts", "1")
    ada("submit", "double.py")
    assert "error[E6203]" in ada("submit", "double.py", code=6).stderr
    told = ada("extend", "dl/hw1", "ada", "--attempts", "1", "--reason", "illness").stdout
    assert told == "ada\t-\t-\t1 attempt more\tillness\n"
    ada("submit", "double.py")
    shown = json.loads(ada("assignment", "show", "dl/hw1", "--json").stdout)
    assert shown["mine"]["attempts_left"] == {"double": 0}


@pytest.mark.usefixtures("course")
def test_hidden_results_are_shown_for_a_token(ada):
    """In what `submit` prints and in `results`; then the token is gone."""
    ada("assignment", "new", "dl/hw1", "double", "--disclosure", "never", "--tokens", "1", "--publish")
    sent = json.loads(ada("submit", "double.py", "--json").stdout)
    assert (sent["tests"], sent["withheld"] > 0, sent["verdict"]) == ([], True, "accepted")
    assert f"grader release {sent['submission']}" in sent["message"]
    assert json.loads(ada("results", "--format", "json").stdout)["tests"] == []
    ada("release", sent["submission"])
    whole = json.loads(ada("results", "--format", "json").stdout)
    assert (len(whole["tests"]), whole["withheld"]) == (sent["withheld"], 0)
    again = json.loads(ada("submit", "double.py", "--json").stdout)
    assert "error[E6205]" in ada("release", again["submission"], code=6).stderr


@pytest.mark.usefixtures("course")
def test_a_bad_roster_lists_every_problem_and_stores_nothing(ada, work):
    """Each as FILE:LINE, on stdout; the error sums up; --skip-bad takes the others."""
    (work / "new.csv").write_text("login,name\neve,=1+1\ncyd,Cyd\ncyd,Cyd\n")
    done = ada("course", "roster", "dl", "new.csv", code=2)
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()[:2]] == ["new.csv:2", "new.csv:4"]
    assert done.stdout.splitlines()[2] == "with --skip-bad: 1 added, 0 updated, 0 unchanged"
    assert "error[E2302]: nothing of new.csv was stored" in done.stderr
    assert len(ada("course", "roster", "dl").stdout.splitlines()) == 2
    ada("course", "roster", "dl", "new.csv", "--skip-bad")
    logins = [line.split("\t")[0] for line in ada("course", "roster", "dl").stdout.splitlines()]
    assert logins == ["ada", "bob", "cyd"]


@pytest.mark.usefixtures("course")
def test_files_that_are_alike_are_shown_side_by_side(ada, work):
    """With the lines of both, tabs between where no terminal is, and no word of who copied."""
    ada("assignment", "new", "dl/hw1", "double:10", "--publish")
    body = "def double(x, factor=2.0):\n    twice = factor * x + (x - x) * abs(factor) * 0\n    return twice\n"
    for login, source in (("ada", body), ("bob", body.replace("twice", "y").replace("\n", "\n# \x1b[2J\n", 1))):
        (work / "double.py").write_text(source)
        ada("submit", "double.py", GRADER_LEARNER=login)
    done = ada("similar", "dl/hw1")
    lines = done.stdout.splitlines()
    assert lines[1] == "dl/hw1 double: 2 files, 1 pair; what more than 3 share is left out"
    assert lines[2] == "what is usual cannot be told from fewer than 20 files"
    assert lines[4:6] == ["ada | bob", "  share 75% (6 fingerprints); of 0 other pairs, 0 share as much"]
    assert lines[-1] == "\t3\t    return twice\t4\t    return y"
    assert "double: file 1 of 2" in done.stderr
    told = json.loads(ada("similar", "dl/hw1", "double", "--json").stdout)
    assert (told["schema"], told["exercises"]["double"]["most"][0]["first"]) == ("grader/similarity/1", ["ada"])
    assert "E5107" in ada("similar", "dl/hw1", "softmax", code=5).stderr


def test_blocks_fit_a_terminal(capsys, monkeypatch):
    """Long lines go on below, wide letters take two columns, and nothing in a file acts on the terminal."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    rows = [Row(9, "x = 1", 10, "y" * 40), Row(0, "", 11, "徐" * 20), Row(10, "a\x1b[2J", 0, "")]
    courses._print_block(Block(13, rows))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"   9 x = 1{' ' * 32}10 {'y' * 35}",
        f"{' ' * 45}{'y' * 5}",
        f"{' ' * 42}11 {'徐' * 17}",
        f"{' ' * 45}{'徐' * 3}",
        "  10 a\\x1b[2J",
    ]


@pytest.mark.parametrize(("on_terminal", "wanted"), [(True, "徐   9\nada  10\n"), (False, "徐\t9\nada\t10\n")])
def test_rows_stand_in_columns_on_a_terminal(on_terminal, wanted, capsys, monkeypatch):
    """Of wide letters too; elsewhere a tab is between cells, and none within one."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: on_terminal)
    courses._print([("徐\t", "9"), ("ada", "10")])
    assert capsys.readouterr().out == wanted


@pytest.mark.parametrize(
    ("read", "code"),
    [
        (lambda: courses.split("hw1"), "E2301"),
        (lambda: courses.items(["double:x"], []), "E2307"),
        (lambda: courses.items(["double", "double:5"], []), "E2307"),
        (lambda: courses.items(["double"], ["double:test_large=perhaps"]), "E2307"),
        (lambda: courses.items(["double"], ["other:test_large=never"]), "E2307"),
        (lambda: courses.changes({"disclosure": "perhaps"}, "UTC"), "E2307"),
        (lambda: courses.changes({"due_at": "2026-03-29 02:30"}, "Europe/Berlin"), "E2304"),
        (lambda: courses.changes({"due_at": "2026-03-29 02:30"}, "Mars/Olympus"), "E2304"),
        (lambda: courses.duration("soon"), "E2304"),
    ],
)
def test_what_is_not_understood_is_refused(read, code):
    """With its cause and an example."""
    with pytest.raises(UsageError) as caught:
        read()
    assert caught.value.code == code
    assert caught.value.cause
    assert caught.value.hint


@pytest.mark.parametrize("text", ["90s", "10m", "36h", "2d"])
def test_a_duration_is_told_as_it_is_given(text):
    """In the largest unit that has no rest."""
    assert courses._span(courses.duration(text)) == text


REFUSED = [
    (("course", "new", "dl"), "E2118", 2),
    (("course", "roster", "dl", "absent.csv"), "E2104", 2),
    (("assignment", "new", "dl/hw1", "nothing"), "E5101", 5),
    (("assignment", "new", "dl/hw1", "double", "--disclose", "double:test_nothing=never"), "E2307", 2),
    (("extend", "dl/hw1", "ada", "--reason", "illness"), "E2307", 2),
    (("extend", "dl/hw1", "--cohort", "c", "--attempts", "1"), "E5107", 5),
    (("gradebook", "dl", "--into", "roster.csv"), "E2306", 2),
    (("gradebook", "dl", "--format", "canvas", "--into", "roster.csv"), "E2306", 2),
    (("release", "s_1"), "E5107", 5),
]


@pytest.mark.usefixtures("course")
def test_what_cannot_be_done_says_why(ada):
    """A code, a hint, and the exit code of its kind."""
    for arguments, code, exit_code in REFUSED:
        told = ada(*arguments, code=exit_code).stderr
        assert f"error[{code}]: " in told
        assert "hint: " in told
