"""Real processes: they race, they are killed, and nothing is lost or half-written."""

import fcntl
import os
import sqlite3
from contextlib import closing

import pytest

from grader.owner import me
from grader.store import database, open_store
from grader.verdict import Verdict

LONG = 600.0

SUBMIT = """
import pathlib, sys
from grader.store import open_store
sys.stdin.readline()  # all start at once
store = open_store(pathlib.Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    queued = store.add_submission(
        learner="ada", exercise="softmax", version="v1", title="Softmax", filename=sys.argv[2],
        source=b"shared" if number % 2 else f"{sys.argv[2]} {number}".encode(), seed=str(number),
    )
    print(queued.judging, queued.attempt, flush=True)
"""

CLAIM = """
import pathlib, sys
from grader.store import open_store
from grader.owner import me
store = open_store(pathlib.Path(sys.argv[1]))
sys.stdin.readline()
for judging in sys.argv[2:]:
    print(judging, getattr(store.claim(judging, me(), 600.0), "token", None), flush=True)
sys.stdin.readline()
"""

HALF_WRITTEN = """
import os, pathlib, signal, sys
from sqlalchemy import event
from grader.report import Environment, Report, TestReport, Usage
from grader.store import open_store
from grader.owner import me
from grader.verdict import Verdict
store = open_store(pathlib.Path(sys.argv[1]))
claim = store.claim(sys.argv[2], me(), 600.0)
report = Report(
    exercise="softmax", exercise_version="v1", verdict=Verdict.ACCEPTED, score=1.0, max_score=1.0,
    tests=[TestReport(name="t", title="T.", verdict=Verdict.ACCEPTED, points=1.0, max_points=1.0)],
    usage=Usage(), environment=Environment(grader="0", engine="local"), seed="1",
)
event.listen(store._engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
store.finish(claim, report)
"""

MIGRATE_AND_DIE = """
import os, pathlib, signal, sys
from sqlalchemy import event
from grader.store import database
connect = database.connect
def dying(path):
    engine = connect(path)
    event.listen(engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
    return engine
database.connect = dying
database.open_store(pathlib.Path(sys.argv[1]))
"""


def _start_together(processes):
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


@pytest.mark.parametrize("round_", range(3))
def test_processes_may_start_and_submit_at_once_on_a_new_home(path, child, round_):
    """Four processes make, migrate and fill one new store: all is there, each attempt given once."""
    processes = [child(SUBMIT, path, name, 5) for name in "abcd"]
    _start_together(processes)
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    given = [line.split() for text in printed for line in text.splitlines()]
    assert sorted(int(attempt) for _, attempt in given) == list(range(1, 21))
    store = open_store(path)
    lines = store.history("ada", "softmax", 100)
    assert {line.judging for line in lines} == {judging for judging, _ in given}
    assert [line.attempt for line in lines] == list(range(20, 0, -1))
    assert len({line.sha256 for line in lines}) == 4 * 3 + 1
    assert set(store.unfinished()) == {judging for judging, _ in given}


def test_who_waits_for_a_migration_does_not_repeat_it(path, child, monkeypatch):
    """One process at a time prepares a folder; the next looks again before it does anything."""
    code = "import pathlib, sys; from grader.store import open_store; open_store(pathlib.Path(sys.argv[1]))"

    def wait_while_another_migrates(folder, operation):
        assert operation == fcntl.LOCK_EX
        assert os.path.samestat(os.fstat(folder), path.parent.stat())
        assert child(code, path).wait() == 0

    monkeypatch.setattr(fcntl, "flock", wait_while_another_migrates)
    monkeypatch.setattr(database, "_migrate", lambda path: pytest.fail(f"migrated {path} twice"))
    assert open_store(path).unfinished() == []


def test_only_one_of_many_gets_a_claim(store, path, send, child):
    """Four processes after the same ten judgings: each goes to exactly one of them."""
    queued = [send(store).judging for _ in range(10)]
    processes = [child(CLAIM, path, *queued) for _ in range(4)]
    _start_together(processes)
    lines = [process.stdout.readline().split() for process in processes for _ in queued]
    assert sorted(judging for judging, number in lines if number == "1") == sorted(queued)
    assert all(number in {"1", "None"} for _, number in lines)


def test_a_killed_judging_is_found_and_judged_again(store, path, send, child, report_on):
    """Held while its process lives; after kill -9 found at once, hours before its lease would end."""
    queued = send(store)
    process = child(CLAIM, path, queued.judging)
    _start_together([process])
    assert process.stdout.readline().split() == [queued.judging, "1"]
    assert store.unfinished() == []
    assert store.claim(queued.judging, me(), LONG) is None
    process.kill()
    process.wait()
    assert store.unfinished() == [queued.judging]
    claim = store.claim(queued.judging, me(), LONG)
    assert (claim.token, claim.lost) == (2, 1)
    assert store.finish(claim, report_on(claim))
    assert store.report(queued.judging, "ada").verdict is Verdict.WRONG_ANSWER
    assert store.unfinished() == []


def test_a_submission_whose_sender_was_killed_is_found(path, child):
    """Queued by a process that died before its claim: the next start takes it up, the file is whole."""
    process = child(SUBMIT, path, "a", 1)
    _start_together([process])
    judging = process.stdout.readline().split()[0]
    process.kill()
    process.wait()
    store = open_store(path)
    assert store.unfinished() == [judging]
    claim = store.claim(judging, me(), LONG)
    assert claim is not None
    assert claim.source == b"a 0"


def test_a_kill_in_the_middle_of_finishing_leaves_nothing_half_written(store, path, send, child, report_on):
    """Killed after the writes and before the commit: no outcome, no verdict, and the judging is free."""
    queued = send(store)
    process = child(HALF_WRITTEN, path, queued.judging)
    assert process.wait() == -9
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM outcomes").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert store.unfinished() == [queued.judging]
    claim = store.claim(queued.judging, me(), LONG)
    assert store.finish(claim, report_on(claim))


def test_a_kill_in_the_middle_of_migrating_is_made_good(path, child):
    """Killed before the commit: the next start finds no tables at all and makes them."""
    process = child(MIGRATE_AND_DIE, path)
    assert process.wait() == -9
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert open_store(path).unfinished() == []


def test_a_claim_is_not_held_by_a_later_process_with_the_same_pid(store, send):
    """The owner's start time tells them apart, so a reused pid cannot keep a judging forever."""
    queued = send(store)
    *world, start = me().split(":")
    assert store.claim(queued.judging, ":".join([*world, str(int(start) - 1)]), LONG)
    assert store.unfinished() == [queued.judging]
    assert store.claim(queued.judging, me(), LONG).lost == 1


def test_an_owner_elsewhere_is_left_alone_until_its_lease_ends(store, send):
    """A process on another machine cannot be asked, so its lease decides."""
    held, over = send(store), send(store)
    elsewhere = "another-host:another-boot:1:2:3"
    assert store.claim(held.judging, elsewhere, LONG)
    assert store.claim(over.judging, elsewhere, -1.0)
    assert store.unfinished() == [over.judging]
    assert store.claim(held.judging, me(), LONG) is None
