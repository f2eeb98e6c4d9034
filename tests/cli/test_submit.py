"""Submitting, from the command line to the stored report: real processes, real judgings, real SQLite."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from grader import exercise as exercises

ROOT = Path(__file__).parents[2]
RIGHT = (ROOT / "reference" / "softmax.py").read_text(encoding="utf-8")
SLOW = "import time\n\n\ndef softmax(x, axis=-1):\n    time.sleep(60)\n\n\ndef softmax_backward(grad_output, output, axis=-1):\n    pass\n"  # noqa: E501


@pytest.fixture
def softmax(work):
    """Write a right submission where `grader submit softmax` finds it."""
    path = work / "softmax.py"
    path.write_text(RIGHT, encoding="utf-8")
    return path


@pytest.fixture
def database(tmp_path):
    """Query the embedded database."""

    def query(statement):
        with closing(sqlite3.connect(tmp_path / "home" / "grader.sqlite3")) as connection:
            return connection.execute(statement).fetchall()

    return query


def test_a_right_file_is_accepted_as_json(grader, softmax):
    """Stdout is the report alone, with what the interface promises, and the exit code is 0."""
    done = grader("submit", "softmax", softmax, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["schema"], report["exercise"], report["verdict"]) == ("grader/report/1", "softmax", "accepted")
    assert report["score"] == report["max_score"] > 0
    assert report["attempt"] == 1
    assert all(report[name] for name in ("usage", "environment", "seed", "submission", "judging"))
    fields = {"name", "title", "verdict", "points", "max_points", "message", "explanation", "speed"}
    assert all(test.keys() == fields for test in report["tests"])


def test_a_wrong_file_is_judged_and_explained(grader, work):
    """Exit code 1; each failed test has a mark, its message, and the explanation of the mistake."""
    wrong = next(wrong for wrong in exercises.load("softmax").wrong if "test_matches_the_definition" in wrong.caught_by)
    (work / "softmax.py").write_bytes(wrong.source)
    done = grader("submit", "softmax.py")
    assert done.returncode == 1
    assert "wrong_answer" in done.stdout
    assert "✗" in done.stdout
    assert "✓" in done.stdout
    assert wrong.explanation in " ".join(done.stdout.split())
    assert "grader check softmax.py" in done.stderr


def test_a_pipe_gets_one_plain_line_for_each_change_of_state(grader, softmax):
    """No escape, no counting up, nothing on stderr with -q."""
    done = grader("submit", "softmax")
    assert "\x1b" not in done.stdout + done.stderr
    assert len([line for line in done.stderr.splitlines() if re.search(r"test \d+ of", line)]) == 1
    assert re.search(r"^softmax: submission s_\w+ stored, attempt 1$", done.stderr, re.MULTILINE)
    assert grader("submit", "softmax", "-q").stderr == ""


def test_a_terminal_gets_a_live_line_and_the_page(softmax, work, environment):
    """Phases are redrawn in place, and the page stands below in the end."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "grader", "submit", "softmax"], cwd=work, stdout=side, stderr=side, env=environment
    )
    os.close(side)
    shown = b""
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:  # Linux says so when the last writer is gone
            break
    os.close(main)
    assert process.wait(20) == 0
    assert b"\x1b[" in shown
    assert "accepted" in shown.decode(errors="replace")


@pytest.mark.parametrize("form", ["full", "concise", "json", "junit", "gradescope"])
def test_every_format_says_the_verdict(grader, softmax, form):
    """And `results` shows the same report again, in the same format."""
    done = grader("submit", "softmax", "--format", form)
    assert done.returncode == 0
    assert "accepted" in done.stdout
    if form == "junit":
        assert ET.fromstring(done.stdout).attrib["failures"] == "0"  # noqa: S314 - our own output
    if form in {"json", "gradescope"}:
        assert json.loads(done.stdout)
    assert grader("results", "--format", form).stdout == done.stdout


BROKEN = {
    "empty": b"",
    "not UTF-8": b"x = '\xff'\n",
    "NUL": b"x = 1\0\n",
    "5 MB": b"# " + b"x" * 5_000_000,
    "does not parse": b"def softmax(x:\n",
    "nested": b"(" * 10_000,
    "lacks a function": b"def softmax(x, axis=-1):\n    return x\n",
}


def test_whatever_is_in_a_file_gets_a_verdict(grader, work, database):
    """It is stored and judged, with a sentence that says what is wrong; never a usage error."""
    for name, content in BROKEN.items():
        (work / "softmax.py").write_bytes(content)
        done = grader("submit", "softmax", "--json")
        assert done.returncode == 1, (name, done.stderr)
        report = json.loads(done.stdout)
        assert report["verdict"] == "import_error", name
        assert report["message"].endswith((".", "^")), (name, report["message"])
        assert report["score"] == 0
    assert database("SELECT count(*) FROM submissions") == [(len(BROKEN),)]


def test_a_syntax_error_is_shown_with_its_caret(grader, work):
    """The line of the file and a caret below it, each on a line of its own."""
    (work / "softmax.py").write_text("import numpy as np\nvalue = = 3\n")
    lines = grader("submit", "softmax").stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if "value = = 3" in line)
    assert lines[at + 1].strip() == "^"
    assert lines[at + 1].index("^") == lines[at].index("= 3")


def test_check_shows_prints_and_exceptions_and_stores_nothing(grader, work, tmp_path):
    """Public examples only, and the summary says so."""
    (work / "softmax.py").write_text(RIGHT + "\nprint('hello \\x1b[31m from the file')\n")
    done = grader("check", "softmax")
    count = exercises.load("softmax").tests("public").read_text().count("\ndef test_")
    assert done.returncode == 0
    assert f"public examples: {count} of {count}; hidden tests were not run" in done.stdout
    assert "hello \\x1b[31m from the file" in done.stdout
    (work / "softmax.py").write_text(RIGHT.replace("\ndef ", "\nraise ValueError('said by me')\n\ndef ", 1))
    done = grader("check", "softmax", "--json")
    assert done.returncode == 1
    assert "said by me" in done.stdout
    assert not (tmp_path / "home").exists()


def test_standard_input_is_a_file(grader):
    """`-` reads what is piped in."""
    assert json.loads(grader("submit", "softmax", "-", "--json", stdin=RIGHT).stdout)["verdict"] == "accepted"


def test_a_notebook_is_a_submission(grader, work):
    """Its cells are joined; an exception names cell and line."""
    cells = ["%matplotlib inline\nimport numpy as np", RIGHT + "\nraise ValueError"]
    book = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}}
    kinds: dict[str, object] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    path = work / "softmax.ipynb"
    path.write_text(json.dumps({**book, "cells": [{**kinds, "source": source} for source in cells]}))
    report = json.loads(grader("submit", path, "--json").stdout)
    assert report["verdict"] == "import_error"
    assert f"cell 2, line {len(cells[1].splitlines())}" in report["message"]
    path.write_text(json.dumps({**book, "cells": [{**kinds, "source": RIGHT}]}))
    assert json.loads(grader("submit", path, "--json").stdout)["verdict"] == "accepted"


def test_history_counts_attempts_and_results_find_each(grader, softmax):
    """The latest first; `results` without an id shows the latest, with one that one."""
    first = json.loads(grader("submit", "softmax", "--json").stdout)
    softmax.write_text("")
    second = json.loads(grader("submit", "softmax", "--json").stdout)
    listed = json.loads(grader("history", "softmax", "--json").stdout)["submissions"]
    assert [(each["attempt"], each["verdict"]) for each in listed] == [(2, "import_error"), (1, "accepted")]
    assert json.loads(grader("results", "--json").stdout) == second
    for name in ("submission", "judging"):
        assert json.loads(grader("results", first[name], "--json").stdout) == first
    page = grader("history", "softmax").stdout
    assert first["submission"] in page
    assert "accepted" in page


def test_a_rejudge_gives_the_same_verdict_with_the_same_seed(grader, softmax):
    """It is a further judging of the same submission."""
    first = json.loads(grader("submit", "softmax", "--json").stdout)
    again = json.loads(grader("rejudge", first["submission"], "--json").stdout)
    assert again["judging"] != first["judging"]
    same = ("submission", "seed", "verdict", "score", "exercise_version", "attempt")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    for one, other in zip(again["tests"], first["tests"], strict=True):
        assert one | {"speed": []} == other | {"speed": []}
        assert len(one["speed"]) == len(other["speed"]) == ("Keeps within" in one["title"])


@pytest.fixture
def interrupt(work, environment, database):
    """Submit a file that never ends, and send a signal while it is being judged."""
    (work / "slow.py").write_text(SLOW)

    def run(number, exercise="softmax"):
        process = subprocess.Popen(
            [sys.executable, "-m", "grader", "submit", exercise, "slow.py"],
            cwd=work,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        told = ""
        while "test 1 of" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(number)
        out, rest = process.communicate(timeout=20)
        return subprocess.CompletedProcess(process.args, process.returncode, out, told + rest)

    return run


def test_ctrl_c_puts_the_judging_back_and_the_next_submit_finishes_it(grader, softmax, work, interrupt, database):
    """Exit code 130 and a word on what happens next; history calls it interrupted until then."""
    done = interrupt(signal.SIGINT)
    assert done.returncode == 130
    assert "is kept and not judged yet" in done.stderr
    assert "the next `grader submit` finishes it" in done.stderr
    assert "Traceback" not in done.stderr
    assert database("SELECT status, lost FROM judgings") == [("queued", 0)]
    assert "interrupted" in grader("history", "softmax").stdout
    waiting = grader("results")
    assert waiting.returncode == 8
    assert "grader submit" in waiting.stderr
    after = grader("submit", "softmax", "-v")
    assert after.returncode == 0, after.stdout + after.stderr
    assert "was interrupted: judging it now" in after.stderr
    verdicts = database("SELECT verdict FROM judgings ORDER BY created_at")
    assert verdicts == [("time_limit_exceeded",), ("accepted",)]


def test_what_was_interrupted_can_be_cancelled(grader, softmax, interrupt, database):
    """By the judging's id or the submission's; then no `submit` takes it up, and it used no attempt."""
    interrupt(signal.SIGKILL)
    ((submission, judging),) = database("SELECT submission_id, id FROM judgings")
    assert "error[E5101]" in grader("cancel", judging, GRADER_LEARNER="somebody else").stderr
    done = grader("cancel", judging)
    assert (done.returncode, done.stderr) == (0, f"submission {submission} is cancelled; no attempt was used\n")
    assert grader("cancel", submission).returncode == 0
    after = grader("submit", "softmax", "--json")
    assert (after.returncode, json.loads(after.stdout)["attempt"]) == (0, 1)
    assert database("SELECT verdict FROM judgings ORDER BY created_at") == [("cancelled",), ("accepted",)]
    late = grader("cancel", json.loads(after.stdout)["submission"])
    assert (late.returncode, "E2126" in late.stderr) == (2, True)
    assert grader("results", submission, "--format", "concise").stdout.startswith("softmax: cancelled")


def test_kill_9_loses_nothing_and_leaves_no_process(grader, softmax, interrupt, database):
    """What was running is found and finished, and the sandbox is gone soon after its judge."""
    assert interrupt(signal.SIGKILL).returncode == -signal.SIGKILL
    assert database("SELECT status FROM judgings") == [("running",)]
    assert "interrupted" in grader("history", "softmax").stdout
    assert grader("submit", "softmax").returncode == 0
    assert database("SELECT lost FROM judgings WHERE verdict = 'time_limit_exceeded'") == [(1,)]


def test_a_judging_lost_three_times_is_given_up_as_our_fault(grader, softmax, tmp_path, interrupt, database):
    """It is internal_error, told on stderr, and uses no attempt."""
    interrupt(signal.SIGKILL)
    with closing(sqlite3.connect(tmp_path / "home" / "grader.sqlite3")) as connection, connection:
        connection.execute("UPDATE judgings SET lost = 2, tries = 3")
    done = grader("submit", "softmax", "--json")
    assert "given up" in done.stderr
    assert json.loads(done.stdout)["attempt"] == 1
    assert database("SELECT verdict FROM judgings ORDER BY created_at") == [("internal_error",), ("accepted",)]


def test_an_exercise_that_has_changed_since_is_judged_as_it_is_now(grader, softmax, work, interrupt, database):
    """The judging finished later names the version it was judged with, not the one it was sent for."""
    own = {"GRADER_EXERCISES": str(work / "own")}
    shutil.copytree(ROOT / "exercises" / "softmax", work / "own" / "softmax")
    shutil.copytree(ROOT / "reference", work / "own" / "reference", ignore=shutil.ignore_patterns("__pycache__"))
    interrupt(signal.SIGKILL)
    with (work / "own" / "softmax" / "statement.md").open("a") as statement:
        statement.write("One more word.\n")
    assert grader("submit", "softmax", "-q", **own).returncode == 0
    versions = "SELECT version FROM judgings JOIN exercise_versions ON exercise_versions.id = exercise_version_id"
    sent_for, now = exercises.load("softmax").version, exercises.load_folder(work / "own" / "softmax").version
    assert sent_for != now
    assert database(versions) == [(now,), (now,)]


def test_a_judging_whose_exercise_is_gone_waits_for_it(grader, softmax, work, environment, interrupt, database):
    """It is not given up: the next submit that finds the exercise finishes it."""
    shutil.copytree(ROOT / "exercises" / "softmax", work / "own" / "soft-two")
    (work / "own" / "reference").mkdir()
    shutil.copy(ROOT / "reference" / "softmax.py", work / "own" / "reference" / "soft_two.py")
    own = {"GRADER_EXERCISES": str(work / "own")}
    environment |= own
    interrupt(signal.SIGKILL, "soft-two")
    del environment["GRADER_EXERCISES"]
    done = grader("submit", "softmax")
    assert done.returncode == 0
    assert "waits: there is no exercise called 'soft-two'" in done.stderr
    assert database("SELECT status FROM judgings ORDER BY created_at") == [("queued",), ("done",)]


def test_two_may_submit_at_once(softmax, work, environment, database):
    """Both are accepted and both are there."""
    command = [sys.executable, "-m", "grader", "submit", "softmax", "--json"]
    pair = [subprocess.Popen(command, cwd=work, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    reports = [json.loads(each.communicate(timeout=60)[0]) for each in pair]
    assert [report["verdict"] for report in reports] == ["accepted", "accepted"]
    assert {report["attempt"] for report in reports} == {1, 2}
    assert database("SELECT count(*) FROM judgings WHERE status = 'done'") == [(2,)]


def test_no_process_is_left_behind(softmax, work, environment):
    """Judge and sandbox end with the command."""
    mark = f"GRADER_TEST_MARK={time.time_ns()}"
    name, _, value = mark.partition("=")
    subprocess.run(
        [sys.executable, "-m", "grader", "submit", "softmax"],
        cwd=work,
        env={**environment, name: value},
        check=True,
        capture_output=True,
    )
    left = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            marked = mark.encode() in path.read_bytes()
        except OSError:
            continue
        if marked:
            left.append(path)
    assert left == []


def test_what_a_submission_says_cannot_act_on_the_terminal(grader, work):
    """Control characters and turned writing come out written as text, in the page and in the history."""
    text = "\\x1b]0;owned\\x07\\u202e"
    (work / "evil\x1b[31m.py").write_text(f"raise ValueError('{text}')\n")
    checked = grader("check", "softmax", "evil\x1b[31m.py")
    submitted = grader("submit", "softmax", "evil\x1b[31m.py")
    history = grader("history", "softmax")
    for done in (checked, submitted, history):
        assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout + done.stderr)
    assert "owned" in checked.stdout
