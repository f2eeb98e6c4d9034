"""Control groups: real ones as this machine mounts them, and version 2 written down as files where it has none."""

import functools
import os
import signal
import time
from pathlib import Path

import pytest

from grader import owner
from grader.errors import OurFault
from worker import cgroup
from worker.cgroup import Group, Place

PROCESSES = 8
make = functools.partial(Group, memory_mib=64, processes=PROCESSES, cores=0.5)


@pytest.fixture
def place():
    """Give where groups are made here."""
    found = cgroup.find()
    assert found is not None, "these tests make control groups: run them as root"
    return found


@pytest.fixture
def group(place):
    """Give a group, and see it gone."""
    made = make(place)
    yield made
    made.close()
    assert not [folder for folder in made._folders.values() if folder.exists()]


def member(group, work=lambda: time.sleep(60)):
    """Start a process in the group; returns its number once it has joined."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            group.join()
            os.write(into, b"+")
            work()
        finally:
            os._exit(0)
    os.close(into)
    assert os.read(out, 1) == b"+"
    os.close(out)
    return pid


def test_a_group_counts_what_its_processes_use(group):
    """Processor time and the peak of memory, by the kernel."""

    def work():
        block = bytearray(20 << 20)
        limit = time.process_time() + 0.05
        while time.process_time() < limit:
            block[0] = 1

    os.waitpid(member(group, work), 0)
    used = group.usage()
    assert 0.05 <= used.cpu_seconds < 1.0
    assert 20.0 <= used.peak_memory_mib < 64.0
    assert used.oom_kills == 0


def test_a_group_that_needs_too_much_memory(group):
    """The kernel kills, and counts it."""

    def work():
        bytearray(128 << 20)

    _, status = os.waitpid(member(group, work), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert group.usage().oom_kills == 1


def test_a_group_bounds_processes(group):
    """Forks fail at the limit."""
    out, into = os.pipe()

    def work():
        children = 0
        try:
            while children < 100:
                if os.fork() == 0:
                    time.sleep(60)
                children += 1
        except BlockingIOError:
            os.write(into, bytes([children]))
        time.sleep(60)

    pid = member(group, work)
    assert os.read(out, 1) == bytes([PROCESSES - 1])
    os.close(out)
    os.close(into)
    group.close()
    os.waitpid(pid, 0)


def test_a_group_bounds_processor_time(group):
    """Half a core: a busy process gets about half of the time that passes."""
    pid = member(group, lambda: [None for _ in iter(int, 1)])
    started, before = time.monotonic(), group.usage().cpu_seconds
    time.sleep(1.0)
    share = (group.usage().cpu_seconds - before) / (time.monotonic() - started)
    group.close()
    os.waitpid(pid, 0)
    assert share < 0.75


def test_closing_ends_every_process(group):
    """Those of the group, and what they forked; twice is once."""

    def work():
        os.fork()
        time.sleep(60)

    pid = member(group, work)
    group.close()
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    group.close()


def test_orphans_go_at_the_next_start(place):
    """A killed judge's group is emptied and removed; a living one's and a stranger's stay."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        make(place)
        os.write(into, b"+")
        time.sleep(60)
    os.read(out, 1)
    (orphan,) = [folder for folder in place.folders["memory"].iterdir() if f":{pid}:" in folder.name]
    mine = make(place)
    assert orphan.exists()
    hanger_on = os.fork()
    if hanger_on == 0:
        time.sleep(60)
    (orphan / "cgroup.procs").write_text(str(hanger_on))
    stranger = place.folders["memory"] / owner.me().replace(":", "x:", 1)
    unknown = place.folders["memory"] / "unknown"
    for folder in (stranger, unknown):
        folder.mkdir()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        cgroup.remove_orphans(place)
        assert not orphan.exists()
        assert all(folder.exists() for folder in (stranger, unknown, mine._folders["memory"]))
        assert os.WTERMSIG(os.waitpid(hanger_on, 0)[1]) == signal.SIGKILL
    finally:
        for folder in (stranger, unknown):
            folder.rmdir()
        mine.close()
        os.close(out)
        os.close(into)


def test_a_group_that_cannot_be_emptied(tmp_path, monkeypatch):
    """It is said, for processes of a submission may be alive."""
    monkeypatch.setattr(cgroup, "_KILL_SECONDS", 0.05)
    (tmp_path / "stuck").mkdir()
    (tmp_path / "stuck" / "cgroup.procs").write_text("0\n")
    with pytest.raises(OurFault) as caught:
        cgroup._remove(tmp_path / "stuck")
    assert caught.value.code == "E4102"


def test_a_group_that_was_refused_leaves_nothing(place):
    """A limit that the kernel does not take; other processes' groups come and go meanwhile."""

    def mine():
        return [each for folder in place.folders.values() for each in folder.iterdir() if owner.me() in each.name]

    before = mine()
    made = make(place)
    assert len(mine()) > len(before)
    made.close()
    with pytest.raises(OSError, match="Invalid"):
        Group(place, memory_mib=64, processes=-5, cores=1.0)
    assert mine() == before


def machine(tmp_path, controllers, *, own="/user.slice/session.scope", delegated=("", "user.slice")):
    """Write down a machine with version 2 alone; `delegated` lists the groups that hand their controllers on."""
    root = tmp_path / "cgroup"
    for group in ("", "user.slice", "user.slice/session.scope"):
        (root / group / "grader").mkdir(parents=True)
        (root / group / "cgroup.procs").touch()
        (root / group / "cgroup.controllers").write_text(controllers if group in delegated else "")
        for folder in (root / group, root / group / "grader"):
            (folder / "cgroup.subtree_control").write_text(controllers if group in delegated else "")
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(f"0::{own}\n")
    (proc / "mountinfo").write_text(
        "24 1 0:5 / /proc rw,nosuid - proc proc rw\n"
        f"30 24 0:26 / {root} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    return root, proc


def test_version_2_at_the_root(tmp_path):
    """The first group on the way to ours that hands on memory and processes."""
    root, proc = machine(tmp_path, "cpu io memory pids")
    assert cgroup.find(proc) == Place(2, dict.fromkeys(("cpu", "memory", "pids"), root / "grader"))
    assert str(cgroup.find(proc)) == "cgroup v2"


def test_version_2_delegated_to_a_user(tmp_path):
    """Only further down, and without the processor: it is said."""
    root, proc = machine(tmp_path, "memory pids", delegated=("user.slice",))
    (root / "grader" / "cgroup.subtree_control").unlink()
    found = cgroup.find(proc)
    assert found == Place(2, dict.fromkeys(("memory", "pids"), root / "user.slice" / "grader"))
    assert str(found) == "cgroup v2 without cpu"


def test_nothing_delegated(tmp_path):
    """No place, and no error: rlimits hold."""
    root, proc = machine(tmp_path, "cpu io", delegated=("", "user.slice"))
    for file in root.rglob("grader/cgroup.subtree_control"):
        file.unlink()
    assert cgroup.find(proc) is None
    assert not list(root.rglob("grader"))


def test_limits_and_counters_of_version_2(tmp_path):
    """What is written and read, by the kernel's documented names and units."""

    class Written(Group):
        def close(self):
            """Leave it: these are files."""

    for file in ("memory.swap.max", "memory.oom.group", "cpu.max"):
        (tmp_path / file).touch()
    group = Written.__new__(Written)
    group.place = Place(2, dict.fromkeys(("memory", "pids", "cpu"), tmp_path))
    group._folders = group.place.folders
    group._limit(64, 8, 0.5, together=True)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert written == {
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "50000 100000",
        "pids.max": "8",
    }
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n")
    (tmp_path / "memory.peak").write_text(f"{3 << 20}\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n")
    assert group.usage() == cgroup.Usage(1.5, 3.0, 2)


def test_without_a_machine_that_has_any(tmp_path):
    """No hierarchy is mounted, as in many a container."""
    proc = Path(tmp_path)
    (proc / "cgroup").write_text("0::/\n")
    (proc / "mountinfo").write_text("24 1 0:5 / /proc rw,nosuid - proc proc rw\n")
    assert cgroup.find(proc) is None
