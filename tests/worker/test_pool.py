"""Standbys of both engines that isolate, for real: each judges once, has its size, and goes with whoever kept it."""

import contextlib
import dataclasses
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from grader import exercise as exercises
from grader import judge, owner
from grader.local import child_of
from grader.pool import Pool
from grader.verdict import Verdict
from tests.test_attacks import field, load, sent
from worker import build, cgroup, docker
from worker.bubblewrap import BubblewrapEngine
from worker.docker import DockerEngine

pytestmark = [
    pytest.mark.usefixtures("sandbox_images"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]
ATTACKS = Path(__file__).parents[1] / "attacks"
SEED = "5" * 32
DOUBLE, TOTAL = load("double"), load("total")
ENGINES = ("docker", "bubblewrap")
TRIED = (
    "a07_inherited_descriptors",
    "a47_kill_the_watchdog",
    "a48_fork_bomb",
    "a83_message_to_the_next",
    "b20_text_about_changes",
    "b37_ptrace_and_memory",
    "b63_channel_again",
    "c01_right",
)


@pytest.fixture
def client():
    """Give a client of the Docker daemon."""
    with contextlib.closing(docker.connect()) as found:
        yield found


@pytest.fixture
def keep():
    """Make pools; nothing is left of them when they are closed: no process, and no name that lives."""
    pools = []

    def make(engine, **options):
        pools.append(Pool(engine, isolated=True, **{"isolation": "container", **options}))
        return pools[-1]

    yield make
    for pool in pools:
        pids = [each._pid for each in (*pool._standbys, *pool._leaving)]
        pool.close()
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert not any(f":{os.getpid()}:" in group.name for group in groups())


@pytest.fixture(params=ENGINES)
def pool(request, keep):
    """Give a pool of each engine."""
    return keep(request.param)


def groups():
    """List the control groups of sandboxes."""
    place = cgroup.find()
    assert place is not None
    return [group for folder in set(place.folders.values()) for group in folder.iterdir() if group.is_dir()]


def with_limits(exercise, **limits):
    """Return an exercise with other limits."""
    changed = msgspec.structs.replace(exercise.limits, **limits)
    return dataclasses.replace(exercise, toml=msgspec.structs.replace(exercise.toml, limits=changed))


def report_of(pool, exercise=DOUBLE, source=None):
    """Judge by a pool."""
    process = pool.start(exercise)
    try:
        return process.run(exercise.reference.read_bytes() if source is None else source, seed=SEED)
    finally:
        process.close()


def ready(pool, exercise=DOUBLE):
    """Have a pool keep a standby that has its libraries, and return the one that is taken next."""
    pool.settle()
    assert report_of(pool, exercise).verdict is Verdict.ACCEPTED
    pool.settle()
    standby = pool._standbys[-1]
    assert standby.is_warm()
    return standby


def held(standby):
    """Return what a standby's sandbox is called: a container's id, or the number of bubblewrap's process."""
    with contextlib.closing(docker.connect()) as client:
        for each in client.containers():
            if f":{standby._pid}:" in each["Labels"].get(docker.OWNER, ""):
                return each["Id"]
    return child_of(standby._pid)


def destroy(sandbox):
    """End a sandbox from outside."""
    if isinstance(sandbox, int):
        os.kill(sandbox, signal.SIGKILL)
        return
    with contextlib.closing(docker.connect()) as client:
        client.kill(sandbox)


def settled(condition):
    """Wait until something holds."""
    limit = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_each_judging_takes_the_standby_that_is_ready_and_another_one_is_started(pool):
    """No sandbox is used twice; the report is that of a judging from nothing."""
    used = set()
    for _ in range(3):
        standby = ready(pool)
        used.add(held(standby))
        process = pool.start(DOUBLE)
        assert process is standby
        report = process.run(DOUBLE.reference.read_bytes(), seed=SEED)
        process.close()
        pool.settle()
        assert standby not in pool._standbys
    assert len(used) == 3
    plain = judge.judge(DOUBLE, DOUBLE.reference.read_bytes(), seed=SEED, engine=pool._asked)
    assert report.usage.cpu_seconds > 0
    assert report.usage.peak_memory_mib > 5
    assert msgspec.structs.replace(report, usage=plain.usage) == plain


@pytest.mark.parametrize("what", ["sandbox", "judge"])
def test_a_standby_that_died_harms_no_judging(pool, what):
    """Somebody killed its sandbox, or its own process, while it waited."""
    standby = ready(pool)
    if what == "sandbox":
        destroy(held(standby))
    else:
        os.kill(standby._pid, signal.SIGKILL)
    settled(lambda: not standby.waits())
    process = pool.start(DOUBLE)
    assert process is not standby
    assert process.run(DOUBLE.reference.read_bytes(), seed=SEED).verdict is Verdict.ACCEPTED
    process.close()


@pytest.mark.parametrize("what", ["sandbox", "judge", "judge with its exercise"])
def test_a_standby_that_dies_when_it_is_taken_is_replaced(pool, what):
    """Just before it hears of its exercise, and just after: a sandbox is started anew, and the verdict comes."""
    standby = ready(pool)
    os.kill(standby._pid, signal.SIGSTOP)
    if what == "sandbox":
        destroy(held(standby))
    elif what == "judge":
        os.kill(standby._pid, signal.SIGKILL)
    process = pool.start(DOUBLE)
    if what == "judge with its exercise":
        assert process is standby
        os.kill(process._pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process._pid, signal.SIGCONT)
    assert process.started() == pool._asked
    report = process.run(DOUBLE.reference.read_bytes(), seed=SEED)
    process.close()
    assert (report.verdict, report.log) == (Verdict.ACCEPTED, "")


def test_a_judging_in_a_standby_that_is_lost_is_begun_again(pool):
    """Its sandbox was ended from outside in the midst of a test."""
    slow = b"import time\n" + DOUBLE.reference.read_bytes().replace(b"    return", b"    time.sleep(0.1)\n    return")
    sandbox = [held(ready(pool))]

    def kill(text):
        if text.startswith("test 2 ") and sandbox:
            destroy(sandbox.pop())

    process = pool.start(DOUBLE)
    report = process.run(slow, seed=SEED, on_phase=kill)
    process.close()
    assert sandbox == []
    assert report.verdict is Verdict.ACCEPTED


KEEPER = """
import sys, time
from grader import exercise as exercises
from grader.pool import Pool
from pathlib import Path

exercise = exercises.load_folder(Path(sys.argv[2]))
pool = Pool(sys.argv[1], isolated=True, isolation="container")
process = pool.start(exercise)
process.run(exercise.reference.read_bytes(), seed="5" * 32)
process.close()
pool.settle()
print(pool._standbys[0]._pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_outlives_the_process_that_keeps_it(engine, alone, child, client):
    """Killed, it cannot close its pool: the standby clears away; killed too, it leaves what the next start finds."""
    keeper = child(KEEPER, engine, DOUBLE.folder)
    pid = int(keeper.stdout.readline())
    name = next(name for name in names(client) if f":{pid}:" in name)
    keeper.kill()
    if alone:
        settled(lambda: name not in names(client) and owner.is_alive(name) is False)
        return
    os.kill(pid, signal.SIGKILL)
    settled(lambda: owner.is_alive(name) is False)
    with contextlib.closing(DockerEngine()) as started:
        started.check("numpy")
    BubblewrapEngine().start("numpy", DOUBLE.limits).kill()
    settled(lambda: name not in names(client))


def names(client):
    """List the owners of all containers and control groups."""
    containers = [each["Labels"].get(docker.OWNER, "") for each in client.containers(all=True)]
    return containers + [group.name.rpartition(":")[0] for group in groups()]


def test_as_many_are_kept_as_were_wanted(keep):
    """One after the first; one more after each judging that found none ready, up to the bound; fewer when in vain."""
    pool = keep("bubblewrap", standbys=2)
    for count, kept in ((1, 1), (2, 2), (3, 2)):
        processes = [pool.start(DOUBLE) for _ in range(count)]
        for process in processes:
            assert process.run(DOUBLE.reference.read_bytes(), seed=SEED).verdict is Verdict.ACCEPTED
            process.close()
        pool.settle()
        assert len(pool._standbys) == kept
    for standby in list(pool._standbys):
        os.kill(standby._pid, signal.SIGTERM)
        settled(lambda standby=standby: not standby.waits())
    report_of(pool)
    assert len(pool._standbys) == 1


def test_the_size_that_was_asked_for_longest_ago_makes_room(keep):
    """Never more than the bound, of all sizes together; and none at all where the bound is 0."""
    pool = keep("bubblewrap", standbys=2)
    sizes = [with_limits(DOUBLE, memory_mib=memory) for memory in (100, 101, 102)]
    for exercise in (*sizes, sizes[1]):
        report_of(pool, exercise)
        pool.settle()
        assert len(pool._standbys) <= 2
    assert sorted(standby.limits.memory_mib for standby in pool._standbys) == [101, 102]
    none = keep("bubblewrap", standbys=0)
    assert report_of(none).verdict is Verdict.ACCEPTED
    assert none._standbys == []


def test_a_standby_serves_every_exercise_of_its_size_and_no_other(keep):
    """What the kernel holds it to must agree; seconds and answers are told with the exercise."""
    pool = keep("bubblewrap")
    first = ready(pool)
    for changed in (
        {"memory_mib": 95},
        {"processes": 63},
        {"cores": 0.5},
        {"scratch_mib": 63},
        {"scratch_files": 4095},
    ):
        process = pool.start(with_limits(DOUBLE, **changed))
        assert process is not first
        process.close()
    longer = pool.start(with_limits(DOUBLE, judging_seconds=2 * DOUBLE.limits.judging_seconds))
    assert longer is not first
    longer.close()
    quick = with_limits(TOTAL, call_seconds=0.3, answer_mib=1)
    process = pool.start(quick)
    assert process is first
    report = process.run(
        b"import time\n\nclass Total:\n    def __init__(self, start):\n        time.sleep(9)\n", seed=SEED
    )
    process.close()
    assert report.exercise == "total"
    assert report.verdict is Verdict.IMPORT_ERROR  # it has no method `add`


@pytest.mark.parametrize("engine", ENGINES)
def test_a_policy_is_told_with_the_exercise(engine, keep):
    """A standby started for an exercise without one keeps the next submission to it, and the other way round."""
    pool = keep(engine)
    strict = load("softmax-layer")
    source = (ATTACKS / "a78_cross_entropy.py").read_bytes()
    ready(pool, strict.without_policy())
    assert report_of(pool, strict, source).verdict is Verdict.POLICY_VIOLATION
    ready(pool, strict)
    assert report_of(pool, strict.without_policy(), source).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("name", TRIED)
def test_attacks_on_a_standby(name, pool):
    """A few of the corpus, which as a whole is judged from nothing; what is judged next is untouched."""
    text = (ATTACKS / f"{name}.py").read_text(encoding="utf-8")
    exercise = load(field(text, "Exercise"))
    ready(pool, exercise)
    report = report_of(pool, exercise, sent(text))
    assert report.verdict in field(text, "Verdict").partition(" (")[0].split(" or ")
    assert report.log == ""
    again = report_of(pool, exercise)
    assert again.verdict is Verdict.ACCEPTED


def test_a_standby_that_has_waited_too_long_ends(keep, monkeypatch):
    """By itself, with its sandbox; the next judging starts from nothing."""
    monkeypatch.setattr(judge, "LONGEST_WAIT", 0.0)
    pool = keep("bubblewrap")
    report_of(pool)
    (standby,) = pool._standbys
    settled(lambda: not standby.waits())
    assert report_of(pool).verdict is Verdict.ACCEPTED
    settled(lambda: not any(f":{standby._pid}:" in group.name for group in groups()))


def test_a_container_of_a_replaced_image_is_not_current(client):
    """The name stands for another image than the one that the sandbox runs."""
    with contextlib.closing(DockerEngine()) as engine:
        process = engine.start("numpy", DOUBLE.limits)
        assert process.is_current()
        process.confinement["image"] = client.inspect_image(build.image_name("torch"))["Id"]
        assert not process.is_current()
        process.kill()


def test_docker_answers_fork_isolation_with_containers(keep):
    """The report says so."""
    pool = keep("docker", isolation="fork")
    standby = ready(pool)
    process = pool.start(exercises.load_folder(DOUBLE.folder))
    assert process is standby
    report = process.run(DOUBLE.reference.read_bytes(), seed=SEED)
    process.close()
    assert (report.verdict, report.environment.isolation) == (Verdict.ACCEPTED, "container")
