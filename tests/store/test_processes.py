"""Real processes: they race, they are killed, and nothing is lost or half-written."""

import fcntl
import os
import signal
from contextlib import closing

import pytest
from sqlalchemy import create_engine, inspect, text

from grader.owner import me
from grader.store import database, open_store
from grader.store.models import Best, ExerciseVersion, Learner, Outbox, Outcome, Request, Source
from grader.verdict import Verdict

LONG = 600.0

SUBMIT = """
import sys
from grader.store import open_store
sys.stdin.readline()  # all start at once
store = open_store(sys.argv[1])
for number in range(int(sys.argv[3])):
    queued = store.add_submission(
        learner="ada", exercise="softmax", version="v1", title="Softmax", filename=sys.argv[2],
        source=b"shared" if number % 2 else f"{sys.argv[2]} {number}".encode(), seed=str(number),
    )
    print(queued.judging, queued.attempt, flush=True)
"""

CLAIM = """
import sys
from grader.store import open_store
from grader.owner import me
store = open_store(sys.argv[1])
sys.stdin.readline()
for judging in sys.argv[2:]:
    print(judging, getattr(store.claim(judging, me(), 600.0), "token", None), flush=True)
sys.stdin.readline()
"""

HALF_WRITTEN = """
import os, signal, sys
from sqlalchemy import event
from grader.report import Environment, Report, TestReport, Usage
from grader.store import open_store
from grader.owner import me
from grader.verdict import Verdict
store = open_store(sys.argv[1])
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
import os, signal, sys
from sqlalchemy import Engine, event
from grader.store import open_store
event.listen(Engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
open_store(sys.argv[1])
"""

FINISH = """
import os, signal, sys
from grader.owner import me
from grader.report import Environment, Report, Usage
from grader.store import open_store
from grader.verdict import Verdict
store = open_store(sys.argv[1])
claim = store.claim(sys.argv[2], me(), float(sys.argv[3]))
print(claim.token, flush=True)
sys.stdin.readline()
report = Report(
    exercise="softmax", exercise_version="v1", verdict=Verdict(sys.argv[4]), score=1.0, max_score=1.0, tests=[],
    usage=Usage(), environment=Environment(grader="0", engine="local"), seed="1",
)
print(store.note(claim, "ready"), store.extend(claim, 600.0), store.finish(claim, report), flush=True)
store.close()
"""

ADD = """
import sys
from grader.store import open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    queued = store.add_submission(
        learner=sys.argv[2] if sys.argv[2] else str(number), exercise="softmax", version=f"v{number}",
        title="Softmax", filename="softmax.py", source=str(number).encode(), seed="1", queue="cpu",
        key=sys.argv[4] and sys.argv[4] + str(number), body_sha256="b",
    )
    print(queued.judging, queued.replayed, flush=True)
store.close()
"""


def _start_together(processes):
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


@pytest.mark.parametrize("round_", range(3))
def test_processes_may_start_and_submit_at_once_on_a_new_home(nowhere, child, round_):
    """Four processes make, migrate and fill one new store: all is there, each attempt given once."""
    processes = [child(SUBMIT, nowhere, name, 5) for name in "abcd"]
    _start_together(processes)
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    given = [line.split() for text in printed for line in text.splitlines()]
    assert sorted(int(attempt) for _, attempt in given) == list(range(1, 21))
    with closing(open_store(nowhere)) as store:
        lines = store.history("ada", "softmax", 100)
        unfinished = store.unfinished()
    assert {line.judging for line in lines} == {judging for judging, _ in given}
    assert [line.attempt for line in lines] == list(range(20, 0, -1))
    assert len({line.sha256 for line in lines}) == 4 * 3 + 1
    assert set(unfinished) == {judging for judging, _ in given}


def test_who_waits_for_a_migration_does_not_repeat_it(path, child, monkeypatch):
    """One process at a time prepares a folder; the next looks again before it does anything."""
    code = "import sys; from grader.store import open_store; open_store(sys.argv[1])"

    def wait_while_another_migrates(folder, operation):
        assert operation == fcntl.LOCK_EX
        assert os.path.samestat(os.fstat(folder), path.parent.stat())
        assert child(code, f"sqlite:///{path}").wait() == 0

    monkeypatch.setattr(fcntl, "flock", wait_while_another_migrates)
    monkeypatch.setattr(database, "_migrate", lambda path: pytest.fail(f"migrated {path} twice"))
    assert open_store(path).unfinished() == []


def test_only_one_of_many_gets_a_claim(store, where, send, child):
    """Four processes after the same ten judgings: each goes to exactly one of them."""
    queued = [send(store).judging for _ in range(10)]
    processes = [child(CLAIM, where, *queued) for _ in range(4)]
    _start_together(processes)
    lines = [process.stdout.readline().split() for process in processes for _ in queued]
    assert sorted(judging for judging, number in lines if number == "1") == sorted(queued)
    assert all(number in {"1", "None"} for _, number in lines)


def test_a_killed_judging_is_found_and_judged_again(store, where, send, child, report_on):
    """Held while its process lives; after kill -9 found at once, hours before its lease would end."""
    queued = send(store)
    process = child(CLAIM, where, queued.judging)
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


def test_a_submission_whose_sender_was_killed_is_found(store, where, child):
    """Queued by a process that died before its claim: the next start takes it up, the file is whole."""
    process = child(SUBMIT, where, "a", 1)
    _start_together([process])
    judging = process.stdout.readline().split()[0]
    process.kill()
    process.wait()
    assert store.unfinished() == [judging]
    claim = store.claim(judging, me(), LONG)
    assert claim is not None
    assert claim.source == b"a 0"


def test_a_kill_in_the_middle_of_finishing_leaves_nothing_half_written(store, where, rows, send, child, report_on):
    """Killed after the writes and before the commit: no outcome, no verdict, and the judging is free."""
    queued = send(store)
    process = child(HALF_WRITTEN, where, queued.judging)
    assert process.wait() == -9
    assert rows(Outcome.name) == []
    assert rows(Best.score) == []
    if where.startswith("sqlite"):
        assert rows(text("integrity_check FROM pragma_integrity_check")) == [("ok",)]
    assert store.unfinished() == [queued.judging]
    claim = store.claim(queued.judging, me(), LONG)
    assert store.finish(claim, report_on(claim))


def test_a_kill_in_the_middle_of_migrating_is_made_good(nowhere, child):
    """Killed before the commit: the next start finds no tables at all and makes them."""
    process = child(MIGRATE_AND_DIE, nowhere)
    assert process.wait() == -9
    engine = create_engine(nowhere.replace("postgresql:", "postgresql+psycopg:"))
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    with closing(open_store(nowhere)) as store:
        assert store.unfinished() == []


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


def test_a_worker_that_slept_past_its_lease_stores_nothing(store, where, send, child):
    """Stopped after its claim, woken when another has judged: all it still does is refused."""
    judging = send(store, queue="cpu").judging
    late = child(FINISH, where, judging, 0.2, "accepted")
    assert late.stdout.readline() == "1\n"
    late.send_signal(signal.SIGSTOP)
    while not store.sweep().requeued:
        pass
    quick = child(FINISH, where, judging, 600.0, "wrong_answer")
    assert quick.stdout.readline() == "2\n"
    assert quick.communicate("go\n")[0] == "True True True\n"
    late.send_signal(signal.SIGCONT)
    assert late.communicate("go\n")[0] == "False False False\n"
    report = store.report(judging, "ada")
    assert (report.verdict, store.waiting()) == (Verdict.WRONG_ANSWER, {})


def test_new_learners_sources_and_versions_may_come_twice_at_once(store, where, rows, child):
    """Four processes send the very same things, all new: each is kept once, each submission is stored."""
    processes = [child(ADD, where, "", 20, "") for _ in range(4)]
    _start_together(processes)
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len({line for text_ in printed for line in text_.splitlines()}) == 80
    assert [len(rows(column)) for column in (Learner.name, Source.sha256, ExerciseVersion.id)] == [20, 20, 20]
    assert store.waiting() == {"cpu": 80}


def test_one_request_that_comes_four_times_at_once_is_stored_once(store, where, rows, child):
    """Clients that lost the connection send again, even while the first is under way: one judging for all."""
    processes = [child(ADD, where, "ada", 20, "key") for _ in range(4)]
    _start_together(processes)
    given = [line.split() for process in processes for line in process.communicate()[0].splitlines()]
    assert len(given) == 80
    assert len({judging for judging, _ in given}) == 20
    assert sorted(replayed for _, replayed in given) == ["False"] * 20 + ["True"] * 60
    assert len(rows(Request.key)) == len(rows(Outbox.judging_id)) == len(store.history("ada", "softmax", 100)) == 20
