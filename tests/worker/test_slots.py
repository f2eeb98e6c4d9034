"""Slots of the engine bubblewrap, for real: forks are strangers to each other, and nothing of one is left in its slot.

What a sandbox is inside, and how it ends, is tested for both isolations in test_bubblewrap.py, and the attacks in
tests/test_attacks.py.
"""

import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from grader import exercise as exercises
from grader import judge
from grader.exercise import Limits
from grader.pool import MOST_JUDGINGS, Pool
from grader.sandbox import Broken, Sandbox
from grader.slot import Slots
from grader.verdict import Verdict
from tests.conftest import without_measures
from worker.bubblewrap import BubblewrapEngine

DOUBLE = exercises.load_folder(Path(__file__).parents[1] / "attacks" / "exercises" / "double")
"""Nothing of it is timed, so that a judging takes one slot."""
RIGHT = DOUBLE.reference.read_bytes()
LIMITS = Limits(memory_mib=64, scratch_mib=8, scratch_files=200, processes=24, call_seconds=10.0)


@pytest.fixture
def slot():
    """Give a slot that allows small sandboxes."""
    made = BubblewrapEngine().slot("numpy", LIMITS)
    yield made
    made.close()


@pytest.fixture
def engine(slot):
    """Give an engine of this one slot."""
    return Slots("bubblewrap", [slot], strict=False)


def zygote(slot):
    """Return the number of the zygote's process."""
    (inner,) = children(slot._host._popen.pid)
    (found,) = children(inner)
    return found


def children(pid):
    """List the children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def settled(condition):
    """Wait until something holds."""
    limit = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_fork_finds_nothing_of_the_one_before(engine, inside):
    """No file, no module, no object, no process, no random number, and the host's name as it was."""
    draws = "np.random.random(), random.random()"
    first = inside(engine)
    first("run", "import numpy as np, random, sys\nnp.left, sys.left = 1, 1\nopen('/tmp/left', 'w').close()")
    first("run", "os.fork() or time.sleep(60)")
    drawn = first("attempt", draws)
    first.sandbox.close()
    second = inside(engine)
    second("run", "import numpy as np, random, sys")
    assert second("attempt", "hasattr(np, 'left'), hasattr(sys, 'left'), os.listdir('/tmp')") == "(False, False, [])"
    assert second("attempt", "sorted(name for name in os.listdir('/proc') if name.isdigit())") == "['1', '2']"
    assert second("attempt", draws) != drawn


def test_one_fork_at_a_time(engine, slot, inside):
    """A second sandbox is started beside the first, in a container of its own, and the slot is used again later."""
    first, second = inside(engine), inside(engine)
    isolations = [each.sandbox._process.confinement["isolation"] for each in (first, second)]
    assert isolations == ["fork", "container"]
    first.sandbox.close()
    assert inside(engine).sandbox._process.confinement["isolation"] == "fork"
    assert len(children(zygote(slot))) == 1


def test_what_a_fork_leaves_ends_with_it(engine, slot, inside):
    """Daemons of a double fork in sessions of their own, the descriptors on our side, and the use that was counted."""
    ask = inside(engine)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    ask("run", "for _ in range(5):\n    if os.fork() == 0:\n        os.setsid() and os.fork()\n        time.sleep(60)")
    assert not slot.usable()
    ended = ask.sandbox.close()
    assert ended.cause == "killed"
    assert ended.cpu_seconds > 0
    assert ended.peak_memory_mib > 5
    assert slot.usable()
    assert children(zygote(slot)) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors - 4


def test_use_is_counted_for_each_fork_alone(engine, inside):
    """What the one before has used is not charged to the next."""
    hungry = inside(engine)
    hungry("run", "block = b'x' * (40 << 20)\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass")
    before = hungry.sandbox.close()
    after = inside(engine).sandbox.close()
    assert before.cpu_seconds > 0.5
    assert before.cpu_seconds > 5 * after.cpu_seconds
    assert before.peak_memory_mib > after.peak_memory_mib + 30


def test_a_fork_that_dies_for_memory_leaves_its_slot_alive(engine, slot, inside):
    """The kernel takes the submission, not the zygote; the next fork has all of the memory again."""
    for _ in range(2):
        ask = inside(engine)
        with pytest.raises(Broken) as caught:
            ask("run", "block = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): block[i] = 1")
        assert caught.value.verdict is Verdict.MEMORY_LIMIT_EXCEEDED
        assert slot.usable()


def test_a_judge_that_dies_takes_its_fork_along(slot):
    """It hangs up, by whatever it dies; the slot goes on."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            sandbox = Sandbox(slot.fork(), "numpy", LIMITS)  # dropped, it would hang up
            sandbox.ready()
            os.write(into, b".")
            time.sleep(60)
        finally:
            os._exit(1)
    assert os.read(out, 1) == b"."
    assert len(children(zygote(slot))) == 1
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    settled(slot.usable)
    assert children(zygote(slot)) == []
    for descriptor in (out, into):
        os.close(descriptor)


def test_a_fork_ended_from_outside_is_lost(engine, slot, inside):
    """Somebody killed the zygote: nothing follows for the submission, and the slot is not used again."""
    ask = inside(engine)
    os.kill(zygote(slot), signal.SIGKILL)
    with pytest.raises(Broken) as caught:
        ask("run", "time.sleep(20)")
    assert caught.value.verdict is Verdict.INTERNAL_ERROR
    assert ask.sandbox.close().cause == "lost"
    settled(lambda: not slot.usable())  # bubblewrap's own processes end after it


def test_a_slot_with_a_stranger_in_it_is_not_used_again(slot, inside, engine):
    """Whatever got into its control group."""
    inside(engine).sandbox.close()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (slot._host._group._folders["pids"] / "cgroup.procs").write_text(str(stranger.pid))
        assert not slot.usable()
        stranger.kill()


def test_the_zygote_is_out_of_reach(engine, slot, inside):
    """A fork sees process 1 and itself; the first cannot be read, traced or killed from there."""
    ask = inside(engine)
    user = Path(f"/proc/{zygote(slot)}").stat().st_uid
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in children(zygote(slot))} <= {user, 0}
    assert ask("attempt", "os.kill(1, 9) or os.kill(1, 15)") == "None"
    assert ask("attempt", "open('/proc/1/mem', 'rb')") == "EACCES"
    assert ask("attempt", "os.readlink('/proc/1/fd/3')") == "EACCES"
    assert ask("attempt", "os.getpid()") == "2"
    first = ask("see", "/proc/1/status").splitlines()
    rights = {line.split()[1] for line in first if line.startswith("Cap")}
    assert rights == {"0" * 16}


@pytest.fixture
def pool():
    """Give a pool that may fork."""
    made = Pool("bubblewrap", isolated=True, isolation="fork")
    yield made
    made.close()


def report_of(pool, exercise=DOUBLE, source=RIGHT):
    """Judge by a pool."""
    process = pool.start(exercise)
    try:
        return process.run(source, seed="5" * 32)
    finally:
        process.close()


def test_a_pool_uses_its_slots_again(pool):
    """The same zygote for every exercise with the same limits, another one for others; at most six wait."""
    assert report_of(pool).verdict is Verdict.ACCEPTED
    (slot,) = pool._idle
    first = zygote(slot)
    assert report_of(pool, DOUBLE, b"").verdict is Verdict.IMPORT_ERROR
    assert [zygote(each) for each in pool._idle] == [first]
    for memory in range(300, 306):
        limits = msgspec.structs.replace(DOUBLE.limits, memory_mib=memory)
        toml = msgspec.structs.replace(DOUBLE.toml, limits=limits)
        assert report_of(pool, dataclasses.replace(DOUBLE, toml=toml)).verdict is Verdict.ACCEPTED
    assert [slot.limits.memory_mib for slot in pool._idle] == list(range(300, 306))


def test_a_pool_replaces_a_slot_that_is_spent_or_dead(pool):
    """After so many judgings, and after it was killed while it waited."""
    report_of(pool)
    (first,) = pool._idle
    first.judgings = MOST_JUDGINGS - 1
    report_of(pool)
    assert pool._idle == []
    report_of(pool)
    (second,) = pool._idle
    assert second is not first
    os.kill(zygote(second), signal.SIGKILL)
    settled(lambda: not second.usable())
    assert report_of(pool).verdict is Verdict.ACCEPTED
    (third,) = pool._idle
    assert third is not second


def test_a_judging_whose_slot_dies_is_judged_again(pool):
    """In a container of its own, and gets its verdict."""
    slow = b"import time\n" + RIGHT.replace(b"    return", b"    time.sleep(0.1)\n    return")
    report_of(pool)
    (slot,) = pool._idle
    killed: list[int] = []

    def kill(text):
        if text.startswith("test 2 ") and not killed:
            killed.append(zygote(slot))
            os.kill(killed[0], signal.SIGKILL)

    process = pool.start(DOUBLE)
    try:
        report = process.run(slow, seed="5" * 32, on_phase=kill)
    finally:
        process.close()
    assert killed
    assert report.verdict is Verdict.ACCEPTED
    assert report.environment.isolation == "container"
    assert pool._idle == []


@pytest.mark.parametrize("who", ["deployment", "exercise"])
def test_either_side_can_ask_for_containers(who):
    """A deployment by its setting, an exercise by its own; the report says what it was."""
    exercise = DOUBLE
    if who == "exercise":
        exercise = dataclasses.replace(exercise, toml=msgspec.structs.replace(exercise.toml, isolation="container"))
    pool = Pool("bubblewrap", isolated=True, isolation="container" if who == "deployment" else "fork")
    report = report_of(pool, exercise)
    assert (report.verdict, report.environment.isolation) == (Verdict.ACCEPTED, "container")
    pool.close()


@pytest.mark.parametrize("name", ["softmax", "attention"])
def test_both_isolations_give_the_same_report(forks, name):
    """But for what was measured, and for the environment."""
    exercise = exercises.load(name)
    source = exercise.reference.read_bytes()
    forked = report_of(forks, exercise, source)
    plain = judge.judge(exercise, source, seed="5" * 32, engine="bubblewrap")
    assert (forked.environment.isolation, plain.environment.isolation) == ("fork", "container")
    assert without_measures(forked, plain) == without_measures(plain, plain)
