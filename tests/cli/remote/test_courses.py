"""Courses against a server, as docs/courses.md has an instructor begin."""

import json
import shlex

import pytest

from tests.cli.conftest import ROOT
from tests.cli.remote.conftest import SOURCE, Person
from tests.server import live
from tests.test_roster import ONEROSTER

DOCUMENT = (ROOT / "docs" / "courses.md").read_text(encoding="utf-8")
BEGINNING = DOCUMENT.partition("## From nothing to a published assignment")[2].partition("\n## ")[0]
COMMANDS = [shlex.split(line)[1:] for line in BEGINNING.splitlines() if line.startswith("    grader ")]
ROSTER = [line.strip() for line in BEGINNING.splitlines() if line.startswith("    ") and "grader" not in line]


def test_from_nothing_to_a_published_assignment(environment, work, tmp_path):
    """The documented commands, word for word, under ten; then a learner sends, and the grade is there."""
    assert len(COMMANDS) < 10
    serve, *others = COMMANDS
    assert serve == ["serve", "--embedded"]
    (work / "roster.csv").write_text("\n".join(ROSTER) + "\n")
    place = {"GRADER_HOME": str(tmp_path / "server")}
    with live.start("--embedded", **place, GRADER_ENGINE="bubblewrap", GRADER_CONCURRENCY="1") as running:
        url = f"http://127.0.0.1:{running.port}"
        ines = Person("main/ines", "", environment, work)
        passwords: dict[str, str] = {}
        for command in others:
            here = [url if word == "http://127.0.0.1:8000" else word for word in command]
            on_server = place if command[0] == "user" else {}
            done = ines.run(*here, stdin=passwords.get("ines", "") if "login" in command else "", **on_server)
            assert done.returncode == 0, done.stderr
            if command[:2] == ["user", "add"]:
                passwords[command[2]] = done.stdout
        shown = json.loads(ines.run("course", "show", "dl-101", "--json").stdout)
        assert (shown["members"], shown["assignments"][0]["published"]) == (2, True)

        elsewhere = {"XDG_CONFIG_HOME": str(tmp_path / "ada"), "GRADER_HOME": str(tmp_path / "ada")}
        ada = Person("main/ada", "", environment | elsewhere, work)
        assert ada.run("auth", "login", url, "--password", "--name", "ada", stdin=passwords["ada"]).returncode == 0
        solution = next(iter(sorted((ROOT / "tests" / "solutions" / "softmax").glob("*.py"))))
        sent = ada.run("submit", "softmax", solution)
        assert sent.returncode == 0, sent.stderr
        mine = json.loads(ada.run("assignment", "show", "dl-101/hw1", "--json").stdout)["mine"]
        assert mine["attempts_left"] == {"softmax": 4, "adam": 5}
        book = json.loads(ines.run("gradebook", "dl-101", "--json").stdout)
        assert [(line["person"]["login"], line["score"]) for line in book["lines"]] == [("ada", 10), ("bob", 0)]
        own = json.loads(ada.run("gradebook", "dl-101", "--json").stdout)
        assert [line["person"]["login"] for line in own["lines"]] == ["ada"]


@pytest.fixture
def ines(ada, world):
    """Return an instructor with a command line, in ada's folder."""
    ada.environment["GRADER_TOKEN"] = world.tokens["main/instructor"]
    return ada


def test_every_command_asks_the_server(ines, ada, world, judge):
    """What staff do from roster to answer, each by its command; errors have the codes and exit codes of the server."""
    login = ada.learner.partition("/")[2]
    (ines.work / "users.csv").write_text(ONEROSTER.replace(",ada,", f",{login},"))
    name = f"dl-{login}"

    def run(*arguments, code=0, token=None):
        done = ines.run(*arguments, **({} if token is None else {"GRADER_TOKEN": token}))
        assert done.returncode == code, done.stderr
        return done.stdout + (done.stderr if code else "")

    run("course", "new", name, "--timezone", "America/New_York")
    assert f"{name}\t" in run("course", "list")
    assert run("course", "roster", name, "users.csv").startswith("2 added")
    assert run("course", "roster", name).splitlines()[1].startswith("bob\t")
    run("assignment", "new", f"{name}/hw1", "double:4", "--attempts", "1", "--disclosure", "never", "--tokens", "1")
    (ines.work / "double.py").write_bytes(SOURCE)
    as_ada = {"token": ada.token}
    assert "error[E5107]" in run("assignment", "show", f"{name}/hw1", code=5, **as_ada)
    run("assignment", "publish", f"{name}/hw1")
    sent = json.loads(run("submit", "double.py", "--json", **as_ada))
    assert (sent["tests"], sent["withheld"]) == ([], 1)
    assert "error[E6203]" in run("submit", "double.py", code=6, **as_ada)
    run("release", sent["submission"], **as_ada)
    assert json.loads(run("results", sent["submission"], "--format", "json", **as_ada))["withheld"] == 0
    assert run("extend", f"{name}/hw1", login, "--attempts", "2").startswith(f"{login}\t")
    run("assignment", "set", f"{name}/hw1", "double:8", "--late", "none")
    assert f"\n{name}/hw1 double: 1 file, 0 pairs" in run("similar", f"{name}/hw1")
    assert "error[E6104]" in run("similar", f"{name}/hw1", "double", code=5, **as_ada)
    run("assignment", "override", f"{name}/hw1", "double", "bob", "3", "--reason", "oral")
    assert [line.split("\t")[-1] for line in run("gradebook", name).splitlines()] == ["of 8", "8", "3"]
    assert run("gradebook", name, "--format", "nbgrader").startswith("assignment,duedate")
    appeal = run("appeal", sent["submission"], "--reason", "why?", **as_ada).split("\t")[0]
    run("course", "answer", name, appeal, "--decline")
    assert run("course", "appeals", name).startswith(f"{appeal}\tdeclined")
    assert "error[E6104]" in run("course", "new", "mine", code=5, **as_ada)
