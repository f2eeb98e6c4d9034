"""Sending to a server over connections that break: stored once, whatever is cut, killed or repeated."""

import json
import signal

import pytest

from grader.verdict import Verdict
from tests.cli.remote.conftest import until

POST = b"POST /v1/submissions"


def test_a_file_is_judged_by_the_server(ada, world, judge):
    """Told phase by phase; the report is the one that `results` shows, in each format; nothing is kept."""
    done = ada.run("submit", "double.py")
    assert done.returncode == 0, done.stderr
    (stored,) = ada.submissions
    told = [line for line in done.stderr.splitlines() if line.startswith("double: ")]
    assert told[0].startswith("double: sending double.py (")
    assert told[1] == f"double: submission {stored.submission} stored, attempt 1"
    assert [line for line in told if line.endswith(("judged", "report stored"))] == [
        "double: judged",
        "double: report stored",
    ]
    assert "accepted" in done.stdout
    assert "Twice an array" in done.stdout
    assert ada.run("results").stdout == done.stdout
    for form in ("concise", "json", "junit", "gradescope"):
        assert ada.run("results", stored.submission, "--format", form).stdout
    assert world.store.source(stored.submission) == (ada.work / "double.py").read_bytes()
    assert ada.parcels == []


@pytest.mark.parametrize(
    ("after", "cut"),
    [
        (POST, {"up": 0}),
        (POST, {"up": 60}),
        (b'"source_base64"', {"up": 20}),
        (POST, {"down": 0}),
        (POST, {"down": 20}),
        (POST, {"down": 250}),
    ],
    ids=["before", "amid the head", "amid the body", "no answer", "amid the status", "amid the answer"],
)
def test_a_connection_that_breaks_stores_a_submission_once(ada, proxy, judge, after, cut):
    """Twice in a row, at any byte: the command ends as if nothing had been, and one submission is there."""
    met = proxy.cut(after, times=2, **cut)
    done = ada.run("submit", "double.py", "--json")
    assert done.returncode == 0, done.stderr
    assert met.times == 0
    assert "trying again" in done.stderr
    (stored,) = ada.submissions
    assert json.loads(done.stdout)["submission"] == stored.submission
    assert ada.parcels == []


@pytest.mark.parametrize("where", ["sqlite", "postgresql"], indirect=True, scope="module")
def test_a_killed_command_neither_loses_nor_doubles(ada, proxy, judge):
    """Killed after the server had stored it, and run again: the same submission is followed."""
    met = proxy.cut(POST, down=0, hold=True)
    process = ada.start("submit", "double.py")
    until(lambda: ada.submissions)
    process.kill()
    process.communicate()
    assert met.times == 0
    assert len(ada.parcels) == 1
    assert ada.run("history", "double").stderr.startswith("hint: 1 sent without an answer")
    done = ada.run("submit", "double.py", "--json")
    assert done.returncode == 0, done.stderr
    (stored,) = ada.submissions
    assert json.loads(done.stdout)["submission"] == stored.submission
    assert "as it had arrived already" in done.stderr
    assert ada.parcels == []
    assert ada.run("submit", "double.py").returncode == 0
    assert len(ada.submissions) == 2


def test_what_a_killed_command_had_not_sent_goes_first(ada, world, proxy, judge):
    """Killed amid the upload, the file then changed: the old one arrives, then the new one."""
    met = proxy.cut(POST, up=300, hold=True)
    process = ada.start("submit", "double.py")
    assert met.done.wait(60)
    process.kill()
    process.communicate()
    assert ada.submissions == []
    old = (ada.work / "double.py").read_bytes()
    (ada.work / "double.py").write_bytes(old + b"# more\n")
    done = ada.run("submit", "double.py")
    assert done.returncode == 0, done.stderr
    second, first = ada.submissions
    assert world.store.source(first.submission) == old
    assert f"sent on {first.created_at.astimezone():%Y-%m-%d}" in done.stderr
    assert f"is submission {first.submission}, attempt 1" in done.stderr
    assert second.attempt == 2
    assert ada.parcels == []


def test_another_account_sends_nothing_of_this_one(ada, world, proxy, judge):
    """What ada left behind waits for ada."""
    proxy.cut(POST, up=0, times=9)
    assert ada.run("submit", "double.py", "--timeout", "1").returncode == 3
    proxy.cuts.clear()
    assert ada.run("submit", "double.py", GRADER_TOKEN=world.tokens["main/learner"]).returncode == 0
    assert len(ada.parcels) == 1
    assert ada.submissions == []
    assert ada.run("submit", "double.py").returncode == 0
    assert len(ada.submissions) == 1


def test_a_server_that_is_down_is_told_and_nothing_is_kept(ada, proxy):
    """Nothing can have arrived: the command says so with E5210, and leaves nothing behind."""
    proxy.close()
    done = ada.run("submit", "double.py")
    assert (done.returncode, done.stdout) == (3, "")
    assert "error[E5210]" in done.stderr
    assert ada.parcels == []


def test_a_server_that_dies_mid_upload_is_found_again(ada, proxy, serve, judge):
    """E5214 says what is not known; when the server is back the same command stores it once."""
    dying = serve()
    proxy.target = dying.port
    met = proxy.cut(b'"source_base64"', up=20, hold=True)
    process = ada.start("submit", "double.py", "--timeout", "3")
    assert met.done.wait(60)
    dying.process.kill()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 3, told
    assert "error[E5214]" in told
    assert "run the same command again" in told
    assert len(ada.parcels) == 1
    proxy.target = serve().port
    done = ada.run("submit", "double.py")
    assert done.returncode == 0, done.stderr
    assert len(ada.submissions) == 1
    assert ada.parcels == []


def test_ctrl_c_while_sending_says_what_is_known(ada, proxy):
    """It may have arrived: the next command takes it up."""
    met = proxy.cut(POST, up=300, hold=True)
    process = ada.start("submit", "double.py")
    assert met.done.wait(60)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "whether the submission has arrived is not known" in told
    assert len(ada.parcels) == 1


def test_ctrl_c_while_waiting_detaches(ada, judge):
    """The submission is judged all the same, and `watch` shows its report."""
    judge.pause.set()
    process = ada.start("submit", "double.py")
    lines = iter(process.stderr.readline, "")
    assert any("next in the queue" in line for line in lines)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    (stored,) = ada.submissions
    assert f"detached: submission {stored.submission} is judged all the same" in told
    assert f"hint: grader watch {stored.submission}" in told
    pending = ada.run("results")
    assert pending.returncode == 8
    assert "error[E5103]" in pending.stderr
    gave_up = ada.run("watch", stored.submission, "--timeout", "1.5")
    assert gave_up.returncode == 7
    assert "error[E5215]" in gave_up.stderr
    assert stored.submission in gave_up.stderr
    judge.pause.clear()
    for which in (stored.submission, stored.judging):
        done = ada.run("watch", which, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["submission"] == stored.submission


@pytest.mark.parametrize(("verdict", "code"), [("wrong_answer", 1), ("internal_error", 3)])
def test_the_exit_code_is_the_verdicts(ada, judge, verdict, code):
    """As where this machine judges."""
    judge.verdicts.append(Verdict(verdict))
    done = ada.run("submit", "double.py")
    assert done.returncode == code
    assert verdict in done.stdout


def test_a_stream_that_breaks_is_resumed(ada, proxy, judge):
    """After the last event that came; each phase is told once."""
    judge.pause.set()
    process = ada.start("submit", "double.py")
    lines = []
    for line in iter(process.stderr.readline, ""):
        lines.append(line.strip())
        if "next in the queue" in line:
            break
    proxy.drop()
    until(lambda: b"Last-Event-ID: 2" in proxy.sent)
    judge.pause.clear()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    phases = [line.strip() for line in lines + told.splitlines() if line.startswith("double: ")]
    names = [line.removeprefix("double: ") for line in phases[2:]]
    assert names == ["received", "next in the queue", "taken by a worker", "sandbox ready", "judged", "report stored"]


def test_where_streams_do_not_come_through_the_judging_is_asked_for(ada, proxy, judge):
    """A proxy that ends every stream costs a few seconds, not the report."""
    judge.pause.set()
    met = proxy.cut(b"/events", down=0, times=1000)
    process = ada.start("submit", "double.py")
    until(lambda: met.times <= 997)
    judge.pause.clear()
    printed, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "accepted" in printed
    assert met.times == 997
