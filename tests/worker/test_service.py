"""Workers, with a real PostgreSQL, a real Redis, real processes and sandboxes: whatever is killed, nothing is lost."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import grader
from grader import exercise as exercises
from grader import judge
from grader.errors import UsageError
from grader.exercise import Limits
from grader.queue import Queue, address, celery
from grader.store import LOST_TRIES
from grader.store.models import Judging
from tests.conftest import FUNCTION, RIGHT, living_children, write
from tests.store import cluster as databases
from tests.worker import broker as brokers
from tests.worker import service_processes as processes
from worker import service

pytestmark = pytest.mark.timeout(240)

R = RIGHT["function"]
WRONG = b"def double(x, factor=2.0):\n    return 3.0 * x\n"
SLOW = b"import time\n" + R.replace(b"    return", b"    time.sleep(0.7)\n    return")
SHORT = {"GRADER_LEASE_SECONDS": "1.5"}
PATIENT = FUNCTION["exercise.toml"].replace("call_seconds = 0.5", "call_seconds = 3.0")
"""An exercise in which a second for each call is no offence."""
_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="module")
def cluster():
    """Start a server of PostgreSQL."""
    with databases.start(*databases.QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def broker():
    """Start a Redis."""
    with brokers.start() as running:
        yield running


@pytest.fixture
def at(cluster, broker, tmp_path):
    """Return a service with one exercise, without workers; at its end no process of it may be left."""
    # Every process that outlives its parent becomes a child of this one, and so cannot hide.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(living_children())
    write(tmp_path, FUNCTION | {"exercise.toml": PATIENT})
    broker.ask("FLUSHALL")
    database = cluster.create()
    service = processes.Service(cluster.url(database), broker, tmp_path)
    yield service
    service.stop()
    service.until(lambda: not [pid for pid in living_children() if pid not in before and pid != broker.pid])
    cluster.drop(database)


def test_a_submission_is_judged(at):
    """Right is right and wrong is wrong; each phase has its moment; nothing is left over."""
    at.worker(concurrency=2)
    right, wrong = at.add(R), at.add(WRONG)
    assert at.done(right, wrong) == ["accepted", "wrong_answer"]
    phases = at.store.progress(right).phases
    assert list(phases) == ["received", "queued", "claimed", "ready", "judged", "stored"]
    assert list(phases.values()) == sorted(phases.values())
    assert at.store.report(right, "ada").environment.engine == "bubblewrap"
    assert at.left() == []


def test_a_judging_leaves_one_line_in_the_log(at):
    """Ids and milliseconds, as JSON; neither the source nor the seed, nor a line for each message."""
    at.worker()
    judging = at.add(WRONG)
    at.done(judging)
    at.until(lambda: at.lines("judged"))
    said = at.log()
    assert [json.loads(line)["message"].split()[0] for line in said.splitlines()] == ["Connected", "ready", "judged"]
    (line,) = at.lines("judged")
    assert (line["judging"], line["verdict"], line["level"]) == (judging, "wrong_answer", "info")
    assert set(line["ms"]) == {"queued", "claimed", "ready", "judged", "stored"}
    assert "5eed" not in said
    assert "factor" not in said


def test_messages_too_many_judge_nothing_twice(at, broker):
    """Five messages for one judging: one finds it, four find nothing, none is left."""
    judging = at.add(R)
    at.queue.send("cpu", 4)
    at.worker(concurrency=2)
    assert at.done(judging) == ["accepted"]
    at.until(lambda: at.queue.length("cpu") == 0 and not broker.ask("HLEN", "unacked"))
    assert at.row(judging).tries == 1


@pytest.mark.parametrize("victim", ["child", "parent", "judge"])
def test_what_a_killed_process_held_is_judged_again(at, victim):
    """By kill -9: the process that claimed it, the worker above, the judge below; one verdict, the right one."""
    worker = at.worker(concurrency=2)
    judging = at.add(SLOW)
    child = at.holder(judging)
    (judge_, *_) = processes.below(child)
    os.kill({"child": child, "parent": worker.pid, "judge": judge_}[victim], signal.SIGKILL)
    if victim == "parent":
        at.worker()
    assert at.done(judging, sweeping=True) == ["accepted"]
    row = at.row(judging)
    assert (row.tries, row.lost) == (2, 1)
    assert at.outcomes(judging) == 2
    assert at.left() == []


def test_a_killed_sandbox_is_replaced(at):
    """The judge sees that something outside ended it, and begins again: nobody else needs to know."""
    at.worker()
    judging = at.add(SLOW)
    child = at.holder(judging)
    at.until(lambda: processes.sandboxes(child))
    for pid in processes.sandboxes(child):
        processes.strike(pid, signal.SIGKILL)
    assert at.done(judging) == ["accepted"]
    assert at.row(judging).lost == 0


def test_a_judging_that_kills_its_workers_is_given_up(at):
    """The third time it is our fault, without an attempt used, and the line goes on."""
    at.worker()
    judging = at.add(SLOW)
    for lost in range(LOST_TRIES):
        at.until(lambda lost=lost: at.row(judging).lost == lost and at.row(judging).status == "running", sweeping=True)
        os.kill(at.holder(judging), signal.SIGKILL)
    assert at.done(judging, sweeping=True) == ["internal_error"]
    assert [line for line in at.told if "given up" in line] == [
        f"judging {judging} is given up, for staff to look at: its workers were lost too often"
    ]
    assert at.done(at.add(R)) == ["accepted"]


def test_a_redis_that_forgets_everything_loses_nothing(at, broker):
    """FLUSHALL takes the messages of what waits, and the worker's own keys: the sweep sends again."""
    at.worker()
    first = at.add(SLOW)
    at.holder(first)
    second = at.add(R)
    broker.ask("FLUSHALL")
    assert at.done(first, second, sweeping=True) == ["accepted", "accepted"]


def test_a_worker_that_was_paused_past_its_lease_stores_nothing(at):
    """Another has judged meanwhile; woken up, the first gives way."""
    paused = at.worker(**SHORT)
    judging = at.add(SLOW)
    child = at.holder(judging)
    tree = [paused.pid, *processes.below(paused.pid)]
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    at.until(lambda: at.row(judging).status == "queued", sweeping=True)
    at.worker(**SHORT)
    assert at.done(judging, sweeping=True) == ["accepted"]
    stored = at.row(judging).finished_at
    for pid in tree:
        os.kill(pid, signal.SIGCONT)
    at.until(lambda: at.lines("stopped, another has it"))
    assert at.row(judging).finished_at == stored
    assert (at.row(judging).tries, at.outcomes(judging)) == (2, 2)
    at.until(lambda: len(processes.below(child)) == 0)
    assert at.done(at.add(R)) == ["accepted"]


def test_a_worker_that_was_paused_past_its_lease_gives_way_by_itself(at):
    """Though nobody has taken the judging: the pause was charged to the submission."""
    paused = at.worker(**SHORT)
    judging = at.add(SLOW)
    at.holder(judging)
    tree = [paused.pid, *processes.below(paused.pid)]
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4.5)  # more than a call may take
    for pid in tree:
        os.kill(pid, signal.SIGCONT)
    at.until(lambda: at.lines("stopped and put back"))
    assert at.done(judging, sweeping=True) == ["accepted"]
    assert (at.row(judging).tries, at.row(judging).lost) == (2, 0)


def test_a_pause_in_the_midst_of_a_sign_of_life_is_seen_too(at):
    """The store answers as if nothing had been, once it is asked: the time counts from before the question."""
    at.worker(**SHORT)
    judging = at.add(SLOW.replace(b"0.7", b"1.1"))
    at.holder(judging)
    with at.store.transaction(writes=True) as session:
        session.get_one(Judging, judging, with_for_update=True)
        time.sleep(2.2)
    at.until(lambda: at.lines("stopped and put back"))
    assert at.done(judging, sweeping=True) == ["accepted"]


def test_a_claim_is_kept_for_as_long_as_it_takes(at):
    """A judging of three seconds with a lease of one and a half: nobody else gets it."""
    at.worker(**SHORT)
    judging = at.add(SLOW.replace(b"0.7", b"1.0"))
    assert at.done(judging, sweeping=True) == ["accepted"]
    assert at.row(judging).tries == 1


def test_judging_lets_others_on_the_machine_go_first(at):
    """By the priority of its processes and, where the kernel weighs sessions, of theirs."""
    at.worker()
    process = at.holder(at.add(SLOW))
    session = Path(f"/proc/{process}/autogroup")
    assert os.getpriority(os.PRIO_PROCESS, process) == os.getpriority(os.PRIO_PROCESS, 0) + 5
    assert not session.exists() or session.read_text(encoding="ascii").split()[1:] == ["nice", "5"]


def test_sigterm_lets_what_runs_end(at):
    """No new claims; what waits waits for another worker."""
    worker = at.worker()
    running = at.add(SLOW)
    at.holder(running)
    waiting = at.add(R)
    worker.terminate()
    assert worker.wait(30) == 0
    assert (at.row(running).status, at.row(running).verdict) == ("done", "accepted")
    assert (at.row(waiting).status, at.row(waiting).tries) == ("queued", 0)
    at.worker()
    assert at.done(waiting, sweeping=True) == ["accepted"]


@pytest.mark.parametrize("how", ["grace", "second"])
def test_what_takes_too_long_is_put_back(at, how):
    """After the grace period, or at a second SIGTERM: it waits again, and counts as no loss."""
    worker = at.worker(GRADER_GRACE_SECONDS="0.3" if how == "grace" else "600")
    judging = at.add(SLOW.replace(b"0.7", b"2.9"))
    at.holder(judging)
    worker.terminate()
    if how == "second":
        time.sleep(0.3)  # or the kernel makes one of two
        worker.terminate()
    assert worker.wait(30) == 0
    row = at.row(judging)
    assert (row.status, row.lost, row.owner) == ("queued", 0, None)
    assert at.store.waiting() == {"cpu": 1}
    assert len(at.lines("stopped and put back")) == 1
    at.worker()
    at.until(lambda: at.row(judging).tries == 2)  # its message went back too: no sweep is needed


def test_assessments_come_first_and_learners_take_turns(at):
    """By priority, then everybody's first before anybody's second, whatever the order of messages."""
    ada = [at.add(R, "ada") for _ in range(3)]
    bob = [at.add(R, "bob") for _ in range(2)]
    exam = at.add(R, "cyd", priority=1)
    at.worker()
    at.done(*ada, *bob, exam)
    order = sorted([*ada, *bob, exam], key=lambda judging: at.store.progress(judging).phases["claimed"])
    assert order == [exam, ada[0], bob[0], ada[1], bob[1], ada[2]]


@pytest.fixture
def away(cluster):
    """Return a context: the database cuts all connections and takes none."""

    @contextlib.contextmanager
    def without_database():
        (database,) = [each for (each,) in cluster.run("SELECT datname FROM pg_database WHERE datname ~ '^test_'")]
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ~ '^test_'"
        cluster.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false", cut)
        yield
        cluster.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")

    return without_database


def test_a_database_that_goes_away_is_waited_for(at, away):
    """From before the judging's end to after it: stored once, by the same worker, and one line tells of it."""
    at.worker()
    judging = at.add(SLOW)
    at.holder(judging)
    with away():
        at.until(lambda: at.lines("the report waits for the store"))
    assert at.done(judging) == ["accepted"]
    assert (at.row(judging).tries, at.row(judging).lost) == (1, 0)
    assert len(at.lines("the report waits for the store")) == 1


def test_messages_outlive_a_database_that_is_away(at, away):
    """What a worker could not claim then it claims once the database is back, without a sweep; one line tells of it."""
    worker = at.worker()
    worker.send_signal(signal.SIGSTOP)
    judging = at.add(R)
    with away():
        worker.send_signal(signal.SIGCONT)
        at.until(lambda: at.lines("the store failed"))
    assert at.done(judging) == ["accepted"]
    assert len(at.lines("the store failed")) == 1


def test_what_cannot_be_judged_here_holds_nobody_up(at, tmp_path):
    """A malformed exercise is put back and left alone for a while, which counts for nothing; mended, it is judged."""
    folder = write(tmp_path, FUNCTION, "broken")
    at.worker()
    broken = at.add(R, exercise="broken")
    (folder / "exercise.toml").rename(folder / "away")
    at.until(lambda: at.lines("put back, cannot be judged here"))
    assert at.done(at.add(R), sweeping=True) == ["accepted"]
    at.until(lambda: (at.row(broken).status, at.row(broken).lost) == ("queued", 0))  # it is tried now and then
    (folder / "away").rename(folder / "exercise.toml")
    assert at.done(broken, sweeping=True) == ["accepted"]


def test_an_exercise_that_is_changed_is_read_again(at, tmp_path):
    """The next judging is against the new version, without a restart."""
    at.worker()
    at.done(at.add(R))
    folder = tmp_path / "exercises" / "double"
    (folder / "statement.md").write_text("# Double\n\nReturn `factor * x`, please.\n")
    judging = at.add(R)
    at.done(judging)
    assert at.store.report(judging, "ada").exercise_version == exercises.load_folder(folder).version


def test_two_sweepers_do_no_harm(at):
    """`grader sweep`, twice: what a dead worker held is judged once more, and only once."""
    sweepers = [at.run("sweep", "--every", "0.2") for _ in range(2)]
    at.worker()
    judging = at.add(SLOW)
    os.kill(at.holder(judging), signal.SIGKILL)
    assert at.done(judging) == ["accepted"]
    assert (at.row(judging).tries, at.row(judging).lost) == (2, 1)
    for sweeper in sweepers:
        sweeper.terminate()
        assert sweeper.wait(10) == 0


def test_a_redis_that_is_down_loses_nothing(at, broker):
    """Killed while a worker judges: what comes is stored, and judged once Redis is back; the sweep tells it once."""
    at.run("sweep", "--every", "0.2")
    at.worker()
    first = at.add(SLOW)
    at.holder(first)
    broker.kill()
    try:
        second = at.add(R)
        assert at.queue.send("cpu") == 0
        at.done(first)
        at.until(lambda: "the broker does not answer" in at.log())
        time.sleep(1.0)  # five more rounds
    finally:
        broker.start()
    assert at.done(second) == ["accepted"]
    assert (at.row(first).tries, at.row(second).tries) == (1, 1)
    assert at.log().count("the broker does not answer") == 1
    assert at.log().count("database and broker answer again") == 1


@pytest.mark.timeout(900)
def test_nothing_is_lost_in_a_chaos():
    """Fifteen submissions over HTTP while everything is killed: a short run of `make chaos`."""
    chaos = [sys.executable, "-m", "tests.worker.chaos", "--submissions", "15", "--seed", "7"]
    done = subprocess.run(chaos, cwd=Path(grader.__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each has one verdict, the right one; nothing is left" in done.stdout


def test_a_sender_does_not_wait_for_a_broker(at):
    """One that accepts and says nothing costs less than a second, and then nothing for a while."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        queue = Queue(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        started = time.monotonic()
        assert [queue.send("cpu") for _ in range(20)] == [0] * 20
        assert time.monotonic() - started < 1.0
        queue.close()


def test_time_limits_nest():
    """All tries of the judge end before Celery's soft limit, that before the hard one, all before Redis sends again."""
    limits = Limits(judging_seconds=30.0)
    tries = judge._TRIES * (2 * judge._BOOT_SECONDS + 30.0 + judge._SPARE_SECONDS + judge._REAP_SECONDS)
    conf = service.application("redis://", service.longest(limits), bool).conf
    nested = [
        tries,
        conf.task_soft_time_limit,
        conf.task_time_limit,
        conf.broker_transport_options["visibility_timeout"],
    ]
    assert nested == sorted(set(nested))


def test_messages_are_json_and_nothing_else():
    """No message can make a worker unpickle anything."""
    assert celery("redis://", {}).conf.accept_content == ["json"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("GRADER_DATABASE_URL", "", "E4116"),
        ("GRADER_DATABASE_URL_FILE", "/nowhere", "E4116"),
        ("GRADER_BROKER_URL", "", "E4116"),
        ("GRADER_SECRET_FILE", "/nowhere", "E4116"),
        ("GRADER_SECRET_FILE", "/dev/null", "E4117"),
        ("GRADER_LEASE_SECONDS", "soon", "E4116"),
        ("GRADER_GRACE_SECONDS", "-1", "E4116"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, tmp_path, name, value, code):
    """At the start, by its name."""
    for each, good in (("GRADER_DATABASE_URL", "x"), ("GRADER_BROKER_URL", "x"), ("GRADER_HOME", str(tmp_path))):
        monkeypatch.setenv(each, good)
    service.read()
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        service.read()
    assert caught.value.code == code
    assert name in caught.value.what + caught.value.cause


def test_an_address_may_lie_in_a_file(monkeypatch, tmp_path):
    """As secrets of containers do; the file goes before the variable."""
    (tmp_path / "url").write_text("postgresql:///here\n")
    monkeypatch.setenv("GRADER_DATABASE_URL", "postgresql:///there")
    monkeypatch.setenv("GRADER_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert address("GRADER_DATABASE_URL") == "postgresql:///here"


@pytest.mark.parametrize("url", ["amqp://:secret@host", "redis://:secret@host:port", "secret"])
def test_only_redis_carries_messages(url):
    """An address that is none of Redis is refused at once, and not repeated: it may hold a password."""
    with pytest.raises(UsageError) as caught:
        Queue(url)
    assert caught.value.code == "E4118"
    assert "secret" not in caught.value.cause


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"GRADER_ENGINE": "local"}, "E2114"),
        ({"GRADER_DATABASE_URL": "postgresql://nobody@/x?host=/nowhere"}, "E3106"),
        ({"GRADER_BROKER_URL": "nonsense"}, "E4118"),
    ],
)
def test_a_worker_that_could_not_work_does_not_start(at, environment, says):
    """It says why, with a code, and ends."""
    worker = at.run("worker", **environment)
    assert worker.wait(60) in (2, 3)
    assert f"error[{says}]" in at.log()
