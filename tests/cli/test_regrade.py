"""`grader regrade`: a new version of an exercise, who changes, and that nothing is judged twice or lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from grader.store import open_store
from tests.conftest import FUNCTION, write
from tests.server import live

HEAD = "import numpy as np\n\n\ndef double(x, factor=2.0):\n"
FILES = {
    "ada": f"{HEAD}    return factor * x\n",
    "bob": f"{HEAD}    return 2.0 * x\n",
    "cyd": f"{HEAD}    return factor * x if x.size < 5 else x\n",
    "dan": f"{HEAD}    return x\n",
}
"""The first version gives them 3, 2, 3 and 0 of 3 points, the second 3, 3, 1 and 0."""


@pytest.fixture
def double(make_exercise, environment):
    """Write the first version of an exercise."""
    written = make_exercise()
    environment |= {"GRADER_EXERCISES": str(written.folder.parent), "GRADER_ENGINE": "local"}
    return written


@pytest.fixture
def new_version(make_exercise):
    """Return a function: mend one hidden test, and make the other stricter."""

    def write():
        hidden = FUNCTION["hidden_tests.py"].replace("[1, 3]", "[1, 3, 5]").replace("factor=3.0", "factor=2.0")
        return make_exercise("function", {"hidden_tests.py": hidden})

    return write


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Submit everybody's file to the first version, once for all tests; return the home and the last reports.

    Ada's first submission is the only one that is neither her best nor her last.
    """
    folder = tmp_path_factory.mktemp("first")
    write(folder, FUNCTION)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GRADER_")}
    plain |= {"GRADER_HOME": str(folder / "home"), "GRADER_EXERCISES": str(folder / "exercises")}
    plain |= {
        "GRADER_ENGINE": "local",
        "GRADER_SERVER": "none",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    reports = {}
    for name, text in [("ada", FILES["dan"]), *FILES.items()]:
        (folder / "double.py").write_text(text)
        command = [sys.executable, "-m", "grader", "submit", "double", "--json"]
        done = subprocess.run(
            command, cwd=folder, env=plain | {"GRADER_LEARNER": name}, capture_output=True, check=False
        )
        reports[name] = json.loads(done.stdout)
    assert [reports[name]["score"] for name in FILES] == [3, 2, 3, 0]
    return folder / "home", reports


@pytest.fixture
def sent(first, double, environment, new_version):
    """Write the new version where everybody has submitted to the first; return the reports by learner."""
    home, reports = first
    shutil.copytree(home, environment["GRADER_HOME"])
    new_version()
    return reports


@pytest.fixture
def database(environment):
    """Return the address of the database."""
    return f"sqlite:///{environment['GRADER_HOME']}/grader.sqlite3"


@pytest.fixture
def scores(database):
    """Return a function: everybody's attempts and scores."""

    def read():
        with closing(open_store(database)) as store:
            return {name: [(each.attempt, each.score) for each in store.history(name, "double", 9)] for name in FILES}

    return read


def _moved(answer):
    return {each["learner"]: (each["before"]["score"], each["after"]["score"]) for each in answer["changes"]}


def test_a_dry_run_shows_who_changes_and_stores_nothing(grader, sent, scores):
    """Bob rises, Cyd falls, the others stay, of each the best and last; what is stored is what was."""
    before = scores()
    done = grader("regrade", "double", "--dry-run", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["schema"], answer["dry_run"], answer["regrade"]) == (
        0,
        "grader/regrade/1",
        True,
        None,
    )
    assert (answer["judged"], answer["failed"], answer["left"]) == (4, 0, 1)
    assert _moved(answer) == {"bob": (2, 3), "cyd": (3, 1)}
    assert [each["submission"] for each in answer["changes"]] == [sent[name]["submission"] for name in ("bob", "cyd")]
    assert all(each["counts"] for each in answer["changes"])
    assert answer["changes"][0]["after"]["version"] == answer["version"] != sent["bob"]["exercise_version"]
    assert scores() == before


def test_a_regrade_adds_judgings_and_no_attempts(grader, sent, scores, database):
    """It judges everything; both reports stay readable; asked again, it judges nothing and tells what it did."""
    done = grader("regrade", "double", "--json", GRADER_LEARNER="grace")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["judged"], answer["failed"], answer["left"]) == (0, 5, 0, 0)
    assert _moved(answer) == {"bob": (2, 3), "cyd": (3, 1)}
    assert scores() == {"ada": [(2, 3), (1, 0)], "bob": [(1, 3)], "cyd": [(1, 1)], "dan": [(1, 0)]}
    old = json.loads(grader("results", sent["bob"]["judging"], "--json", GRADER_LEARNER="bob").stdout)
    new = json.loads(grader("results", sent["bob"]["submission"], "--json", GRADER_LEARNER="bob").stdout)
    assert old == sent["bob"]
    assert (new["score"], new["attempt"], new["seed"]) == (3, 1, old["seed"])
    with closing(open_store(database)) as store:
        (seen,) = store.regrades("double")
    assert (seen.by, seen.total, seen.done, seen.ended_at is not None) == ("grace", 5, 5, True)
    again = json.loads(grader("regrade", "double", "--json").stdout)
    assert again == answer
    nothing = grader("regrade", "double", "--dry-run")
    assert nothing.stdout == "double: every submission is judged against the exercise as it is\n"


def test_never_lower_keeps_the_better_one(grader, sent, scores):
    """Cyd's lower one is shown and does not count; a dry run says so before."""
    for judged, more in ((4, ["--dry-run"]), (5, [])):
        done = grader("regrade", "double", "--never-lower", *more)
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert lines[0] == "learner attempt before after points submission"
        assert lines[1] == f"bob 1 wrong_answer 2/3 accepted 3/3 +1 {sent['bob']['submission']}"
        assert lines[2] == f"cyd 1 accepted 3/3 wrong_answer 1/3 -2, not counted {sent['cyd']['submission']}"
        assert lines[3] == f"double: {judged} judged, 1 higher, 1 lower, 1 of these not counted"
        assert ("1 more that are nobody's best or last" in done.stderr) == bool(more)
    assert scores() == {"ada": [(2, 3), (1, 0)], "bob": [(1, 3)], "cyd": [(1, 3)], "dan": [(1, 0)]}
    assert json.loads(grader("results", "--json", GRADER_LEARNER="cyd").stdout) == sent["cyd"]
    told = [line.split() for line in grader("history", "double", GRADER_LEARNER="cyd").stdout.splitlines()]
    assert [told[1][3:5], told[2][2:4]] == [["accepted", "3/3"], ["wrong_answer", "1/3"]]
    assert told[2][5:] == ["lower,", "not", "counted"]


def test_our_fault_lowers_nobody_and_is_told(grader, sent, double, scores):
    """A hidden test that raises: exit code 3, the verdicts stay, and once it is mended the next regrade judges all."""
    tests = double.folder / "hidden_tests.py"
    mended = tests.read_text()
    tests.write_text(mended.replace("x = rng.normal(size=4)", "x = rng.normal(size=4)[9]"))
    before = scores()
    done = grader("regrade", "double")
    assert (done.returncode, "5 failed by our own fault" in done.stdout) == (3, True)
    assert scores() == before
    tests.write_text(mended)
    assert json.loads(grader("regrade", "double", "--json").stdout)["judged"] == 5


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_regrade_that_was_stopped_goes_on(how, code, grader, sent, database, environment, work):
    """By kill -9 or Ctrl-C, with a judging under way: the same command judges that and the rest, each once."""
    stopped = subprocess.Popen([sys.executable, "-m", "grader", "regrade", "double", "-q"], cwd=work, env=environment)
    with closing(open_store(database)) as store:
        deadline = time.monotonic() + 60
        while not (found := store.regrades("double")) or not found[0].done:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        stopped.send_signal(how)
        assert stopped.wait() == code
        assert store.regrades("double")[0].done < 5
        refused = grader("regrade", "double", "--never-lower")
        assert (refused.returncode, "error[E2119]" in refused.stderr) == (2, True)
        answer = json.loads(grader("regrade", "double", "--json").stdout)
        assert (answer["judged"], answer["left"]) == (5, 0)
        assert [len(store.submission(each["submission"]).judgings) for each in sent.values()] == [2] * 4
        assert len(store.regrades("double")) == 1


def test_an_engine_that_is_away_begins_nothing(grader, sent, database):
    """Our fault, before any row is made."""
    done = grader("regrade", "double", "--engine", "docker", DOCKER_HOST="unix:///nonexistent/x.sock")
    assert (done.returncode, "error[E4104]" in done.stderr) == (3, True)
    with closing(open_store(database)) as store:
        assert store.regrades("double") == []


def test_bad_arguments_are_told(grader, double):
    """An unknown exercise, a service's option without a service, an engine that a service refuses, no such database."""
    assert grader("regrade", "nothing").returncode == 5
    done = grader("regrade", "double", "--detach")
    assert (done.returncode, "--detach" in done.stderr) == (2, True)
    refused = grader("regrade", "double", "--dry-run", GRADER_DATABASE_URL="sqlite:////nowhere/x")
    assert (refused.returncode, "error[E2114]" in refused.stderr) == (2, True)
    assert "error[E4116]" in grader("regrade", "double", GRADER_DATABASE_URL_FILE="/nowhere").stderr


def test_a_services_workers_judge_in_the_background(grader, sent, environment, database):
    """The command queues and leaves; the workers judge; the same command tells what came of it."""
    service = {"GRADER_DATABASE_URL": database, "GRADER_ENGINE": "bubblewrap"}
    detached = grader("regrade", "double", "--detach", **service)
    assert detached.stdout == "double: 0 judged, 0 higher, 0 lower\n"
    assert "5 are not judged yet" in detached.stderr
    with live.start("--embedded", **(environment | service)):
        done = grader("regrade", "double", "--json", **service)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["judged"], answer["left"]) == (0, 5, 0)
    assert _moved(answer) == {"bob": (2, 3), "cyd": (3, 1)}
    with closing(open_store(database)) as store:
        assert {store.submission(each["submission"]).judgings[-1].queue for each in sent.values()} == {"cpu"}
