"""The commands of whoever runs a server: accounts, tokens and the database."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import grader
from grader import records
from grader.store import open_store
from grader.store.database import HEAD
from grader.store.gpus import Gpus
from grader.store.identity import Identity


@pytest.fixture
def run(where, tmp_path):
    """Return a function: run one command on the database; returns exit code, stdout and stderr."""

    def command(*arguments, given="", **environment):
        ended = subprocess.run(
            [sys.executable, "-m", "grader", *arguments],
            env=os.environ
            | {
                "PYTHONPATH": str(Path(grader.__file__).parents[1]),
                "GRADER_DATABASE_URL": where,
                "GRADER_HOME": str(tmp_path / "home"),
            }
            | environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    return command


@pytest.fixture
def identity(where):
    """Return the accounts of the database."""
    store = open_store(where)
    yield Identity(store)
    store.close()


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_an_account_from_its_first_to_its_last_day(run, identity):
    """Added with a password that works, made an instructor, given a token, kept out."""
    code, password, _ = run("user", "add", "ada", "--public-name", "Ada")
    assert code == 0
    account = identity.check_password("main", "ada", password.strip())
    assert (account.role, account.public_name) == ("learner", "Ada")
    assert run("user", "role", "ada", "instructor")[0] == 0
    assert identity.by_name("main", "ada").role == "instructor"
    _, token, _ = run("token", "issue", "ada", "--scope", "read", "--days", "1", "--label", "laptop")
    assert identity.by_token(token.strip()).token.scopes == {"read"}
    listed = json.loads(run("token", "list", "ada", "--json")[1])["tokens"]
    assert [each["label"] for each in listed] == ["laptop"]
    assert run("token", "revoke", "ada", listed[0]["id"])[0] == 0
    assert identity.by_token(token.strip()) is None
    assert run("user", "disable", "ada")[0] == 0
    assert identity.check_password("main", "ada", password.strip()) is None
    assert run("user", "disable", "ada", "--undo")[0] == 0
    _, fresh, _ = run("user", "password", "ada")
    assert identity.check_password("main", "ada", password.strip()) is None
    assert identity.check_password("main", "ada", fresh.strip())
    listed = json.loads(run("user", "list", "--json")[1])["accounts"]
    assert [(each["name"], each["role"]) for each in listed] == [("ada", "instructor")]
    assert "ada\tinstructor" in run("user", "list")[1]


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_a_password_may_come_from_standard_input(run, identity):
    """It is not printed then; a short one is refused."""
    code, printed, _ = run("user", "add", "ada", "--password-stdin", given="twelve letters\n")
    assert (code, printed) == (0, "")
    assert identity.check_password("main", "ada", "twelve letters")
    code, _, told = run("user", "add", "bob", "--password-stdin", given="short\n")
    assert code == 2
    assert "E1205" in told
    assert identity.by_name("main", "bob") is None


def send(store, learner, exercise="softmax"):
    """Send a file to be judged by a worker."""
    return store.add_submission(
        learner=learner,
        exercise=exercise,
        version="1",
        title="Softmax",
        filename="softmax.py",
        source=b"x = 1\n",
        seed="0" * 32,
        queue="cpu",
    )


def test_the_queue_shows_what_waits_and_what_failed(run, where):
    """What waits, what is being judged, and whose submission has no verdict, by whose fault."""
    assert run("queue")[:2] == (0, "nothing waits, and nothing is being judged\n")
    with closing(open_store(where)) as store:
        failed, running = send(store, "main/ada"), send(store, "main/bob")
        send(store, "main/eve")
        claim = store.claim(failed.judging, "a:1", 60.0)
        assert claim
        store.give_up(claim, "Traceback\nits worker was\x1b[2J lost 3 times")
        assert store.claim(running.judging, "a:1", 60.0)
    shown = json.loads(run("queue", "--json")[1])
    (line,) = shown["queues"]
    assert (line["queue"], line["waiting"], line["running"]) == ("cpu", 1, 1)
    assert 0 <= line["oldest_seconds"] < 60
    (fault,) = shown["failed"]
    assert (fault["submission"], fault["learner"]) == (failed.submission, "main/ada")
    code, printed, told = run("queue")
    assert code == 0
    assert re.fullmatch(r"cpu\t1 waiting\tthe first for \d+ s\t1 being judged", printed.splitlines()[0])
    assert printed.splitlines()[1].split("\t")[::2] == [
        failed.submission,
        "main/ada",
        "its worker was [2J lost 3 times",
    ]
    assert "grader rejudge ID" in told
    with closing(open_store(where)) as store:
        store.rejudge(failed.submission, queue="cpu")  # somebody looks after it
    assert json.loads(run("queue", "--json")[1])["failed"] == []


def test_the_audit_tells_who_did_what(run, identity):
    """The newest first, by name, as much as asked for, and of one account or subject alone."""
    identity.add_organisation("main")
    ada = identity.add_account("main", "ada", role="operator")
    for number in range(3):
        identity.record("submission.rejudge", f"s_{number}", by=ada.id, judging="j_\t1")
        time.sleep(0.002)  # ids sort by the millisecond
    entries = json.loads(run("audit", "--json")[1])["entries"]
    assert [each["subject"] for each in entries][:3] == ["s_2", "s_1", "s_0"]
    assert entries[-1]["name"] is None  # the account itself was made by nobody who was logged in
    code, printed, told = run("audit", "--by", "ada", "--limit", "2")
    assert code == 0
    assert [line.split("\t")[1:] for line in printed.splitlines()] == [
        ["main/ada", "submission.rejudge", f"s_{number}", "judging=j_ 1"] for number in (2, 1)
    ]
    older = told.split()[-1]
    assert run("audit", "--by", "ada", "--before", older)[1].count("\n") == 1
    assert run("audit", "--subject", "s_1")[1].count("\n") == 1
    assert run("audit", "--by", "nobody")[0] == 5


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["user", "add", "ada"], 2, "E2118"),
        (["user", "add", "a/b"], 2, "E1203"),
        (["user", "add", "bob", "--organisation", "a/b"], 2, "E1203"),
        (["user", "add", "bob", "--role", "king"], 2, "E1203"),
        (["user", "role", "ada", "king"], 2, "E1203"),
        (["user", "role", "nobody", "learner"], 5, "E5106"),
        (["user", "disable", "ada", "--organisation", "other"], 5, "E5106"),
        (["token", "issue", "ada", "--scope", "operate"], 2, "E1204"),
        (["token", "revoke", "ada", "t_unknown"], 5, "E5203"),
    ],
)
def test_what_cannot_be_done_says_why(run, identity, arguments, exit_code, code):
    """With a code of its own, and nothing is changed."""
    identity.add_organisation("main")
    identity.add_account("main", "ada", role="learner")
    ended, _, told = run(*arguments)
    assert ended == exit_code
    assert f"error[{code}]" in told
    assert [each.name for each in identity.accounts("main", 10)] == ["ada"]


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_the_database_is_checked_and_upgraded(run, where):
    """Empty it is not ours yet; checking changes nothing; upgraded it is, and a newer one is refused."""
    path = Path(where.removeprefix("sqlite:///"))
    assert json.loads(run("db", "check", "--json")[1]) == {"schema": "grader/database/1", "version": "", "needed": HEAD}
    assert run("db", "check")[0] == 1
    assert not path.exists()
    assert run("db", "upgrade")[0] == 0
    assert run("db", "check")[:2] == (0, f"the database is at version {HEAD}; this grader needs {HEAD}\n")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("check", "upgrade"):
        code, _, told = run("db", command)
        assert code == 3
        assert "E3103" in told


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
def test_a_server_that_is_not_there_is_told_without_its_password(run, where):
    """`db check` of PostgreSQL finds its version; where nothing listens the address's secret is not printed."""
    assert run("db", "check")[0] == 0
    code, _, told = run("db", "check", GRADER_DATABASE_URL="postgresql://u:9d0c7f31@127.0.0.1:1/grader")
    assert code == 3
    assert "E3106" in told
    assert "9d0c7f31" not in told


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_operators_see_each_gpu_and_restore_one(run, where):
    """Model, driver, memory, worker, what runs on it, why it is in quarantine."""
    with closing(open_store(where)) as store:
        gpus = Gpus(store)
        models = {"GPU-1": "NVIDIA H100", "GPU-2": "NVIDIA A100"}
        gpus.offer("one", [records.Gpu(id=i, model=m, driver="580.65.06", memory_mib=81559) for i, m in models.items()])
        gpus.quarantine("GPU-2", "an uncorrectable error")
    code, printed, _ = run("queue")
    assert code == 0
    lines = [line.split("\t") for line in printed.splitlines() if line.startswith("GPU-")]
    assert lines == [
        ["GPU-1", "one", "NVIDIA H100", "driver 580.65.06", "81559 MiB", "free"],
        ["GPU-2", "one", "NVIDIA A100", "driver 580.65.06", "81559 MiB", "in quarantine: an uncorrectable error"],
    ]
    shown = json.loads(run("queue", "--json")[1])["gpus"]
    assert [(each["id"], each["quarantine"]) for each in shown] == [("GPU-1", ""), ("GPU-2", "an uncorrectable error")]
    assert run("gpu", "restore", "GPU-1")[0] == 5
    assert run("gpu", "restore", "GPU-2")[0] == 0
    assert [each["quarantine"] for each in json.loads(run("queue", "--json")[1])["gpus"]] == ["", ""]
    assert "gpu.restore" in run("audit")[1]
