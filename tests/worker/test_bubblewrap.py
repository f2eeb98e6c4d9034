"""The engine bubblewrap, for real, as root and as an ordinary user: what is inside, what stops, what is left."""

import ast
import contextlib
import ctypes
import json
import os
import pickle
import signal
import stat
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

import grader
from grader import exercise as exercises
from grader import judge, owner
from grader.errors import OurFault
from grader.exercise import Limits
from grader.local import HARNESS, LocalEngine
from grader.sandbox import Broken
from grader.verdict import Verdict
from tests.conftest import without_measures
from worker import bubblewrap, cgroup, seccomp
from worker.bubblewrap import ZYGOTE_COMMAND, BubblewrapEngine

USER = 61000
PR_SET_DUMPABLE = 4
LIMITS = Limits(memory_mib=64, scratch_mib=8, scratch_files=200, processes=24, call_seconds=10.0)
NOT_THERE = {
    "sh",
    "bash",
    "dash",
    "busybox",
    "gcc",
    "cc",
    "cc1",
    "ld",
    "as",
    "tcc",
    "perl",
    "pip",
    "apt",
    "mount",
    "bwrap",
}
_libc = ctypes.CDLL(None, use_errno=True)


def as_root(function):
    """Run it here."""
    assert os.geteuid() == 0, "these tests start sandboxes as root and as a user: run them as root"
    return function()


def as_user(function):
    """Run it in a child that is an ordinary user, to whom Python and the checkout are made reachable."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            reach([Path(sys.base_prefix), Path(np.__file__).parent.parent, Path(grader.__file__).parent.parent])
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)
            _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after exec: its files in /proc are its own
            BubblewrapEngine._checked.clear()
            answer = (True, function())
        except BaseException:  # noqa: BLE001 - it is raised in the parent
            answer = (False, traceback.format_exc())
        finally:
            with os.fdopen(into, "wb") as pipe:
                pickle.dump(answer, pipe)
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        done, value = pickle.load(pipe)  # noqa: S301 - our own child wrote it
    os.waitpid(pid, 0)
    assert done, value
    return value


def reach(paths):
    """Let everybody reach the paths, though they lie below a private home; in this process's own mount namespace."""
    assert _libc.unshare(bubblewrap._CLONE_NEWNS) == 0
    bubblewrap._mount("none", "/", flags=bubblewrap._MS_REC | bubblewrap._MS_SLAVE)
    opened = {path: os.open(path, os.O_PATH) for path in paths}
    for path in paths:
        private = [folder for folder in path.parents if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH]
        for folder in private[-1:]:
            bubblewrap._mount("tmpfs", str(folder), "tmpfs", 0, "mode=755")
    for path, descriptor in opened.items():
        if not path.exists():
            path.mkdir(parents=True)
            bubblewrap._mount(f"/proc/self/fd/{descriptor}", str(path), flags=bubblewrap._MS_BIND)
        os.close(descriptor)


@pytest.fixture(params=[as_root, as_user])
def run(request):
    """Give a way to run a function: as root, and as an ordinary user."""
    return request.param


class Forked(BubblewrapEngine):
    """Its sandboxes are forks, each of a slot of its own."""

    def __init__(self):
        """Keep the slots."""
        super().__init__()
        self.slots = []

    def start(self, kind, limits):
        """Start a slot and fork from it."""
        self.slots.append(self.slot(kind, limits))
        return self.slots[-1].fork()


@pytest.fixture(params=["container", "fork"])
def engine(request):
    """Give the engine, in both isolations."""
    found = BubblewrapEngine() if request.param == "container" else Forked()
    yield found
    for slot in getattr(found, "slots", ()):
        slot.close()


def processes_below(pid):
    """List the living processes below one, by the kernel's list of children; not the servers of other tests.

    A dead one that was killed before bubblewrap could name it stays, where orphans are adopted, until its judge ends.
    """
    below = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    living = [
        child for child in below if state(child) not in ("Z", "") and name(child) not in ("postgres", "redis-server")
    ]
    return living + [deeper for child in living for deeper in processes_below(child)]


def name(pid):
    """Return the name of a process's program; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def state(pid):
    """Return the letter of a process's state; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def groups(of=""):
    """List the groups of this process's sandboxes, or of another's."""
    place = cgroup.find()
    assert place is not None
    mark = of or owner.me()
    return {folder for parent in place.folders.values() for folder in parent.iterdir() if mark in folder.name}


def staged():
    """List the mounts where root stages what a sandbox sees."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in mounts if line.split()[4].startswith(bubblewrap._STAGE)]


def alive(pid):
    """Tell whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid):
    """Wait until a process has ended."""
    limit = time.monotonic() + 10.0
    while alive(pid) and time.monotonic() < limit:
        time.sleep(0.01)
    return not alive(pid)


def test_nothing_of_the_machine_is_inside(run, engine, inside):
    """Python, NumPy, the harness, the system's shared libraries, five devices and an empty /tmp; no program else."""

    def walk():
        ask = inside(engine)
        ask("run", "text = files()")
        parts = range(0, int(ask("attempt", "len(text)")), 1 << 15)  # a text that crosses is short
        text = "".join(ast.literal_eval(ask("attempt", f"text[{at}:{at + (1 << 15)}]")) for at in parts)
        return json.loads(text), ask("see", "/etc/passwd"), ask("see", str(HARNESS))

    found, passwd, harness = run(walk)
    assert (passwd, harness) == ("ENOENT", "ENOENT")
    tops = {path for path in found if path.count("/") == 1}
    assert tops <= {"/dev", "/lib", "/lib64", "/sandbox", "/tmp", "/usr"}
    library = f"/usr/lib/{sys.implementation._multiarch}"
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert {path for path in found if path.count("/") == 2} <= {
        *(f"/dev/{device}" for device in ("null", "zero", "full", "random", "urandom")),
        *(
            "/dev/fd",
            "/dev/stdin",
            "/dev/stdout",
            "/dev/stderr",
            "/dev/shm",
            "/sandbox/harness.py",
            "/sandbox/zygote.py",
            *("/sandbox/harness.py", "/sandbox/zygote.py"),
            "/sandbox/lib",
        ),
        *("/usr/bin", "/usr/lib", "/usr/lib64"),
    }
    assert [path for path in found if path.startswith("/usr/bin/")] == ["/usr/bin/python3"]
    assert {path for path in found if path.startswith("/sandbox/lib/") and path.count("/") == 3} <= {
        "/sandbox/lib/numpy",
        "/sandbox/lib/numpy.libs",
    }
    homes = [path for path in found if path.startswith("/usr/lib/") and path.count("/") == 3]
    assert {path for path in homes if "/lib" + name not in path and "/ld-linux" not in path} == {
        library,
        f"/usr/lib/{name}",
    }
    assert not [path for path in found if "-packages/" in path or "/ensurepip/" in path]
    programs = {path for path, mode in found.items() if stat.S_ISREG(mode) and mode & 0o111}
    assert not {path.rpartition("/")[2] for path in programs} & NOT_THERE


def test_who_one_is_inside(run, engine, inside):
    """Nobody, alone, without rights, name, network and environment; the filter and no_new_privs hold for both."""

    def look():
        ask = inside(engine)
        files = ("/proc/self/uid_map", "/proc/1/environ", "/proc/1/cmdline", "/proc/1/status", "/proc/net/dev")
        things = ("os.uname().nodename", "sorted(os.environ)", "sorted(os.listdir('/proc/self/fd'))", "os.getcwd()")
        numbers = "sorted(name for name in os.listdir('/proc') if name.isdigit())"
        seen = [ask("see", file) for file in files]
        return ask("status"), seen, [ask("attempt", thing) for thing in (*things, numbers)], ask.sandbox.versions

    status, (uids, environment, command, first, network), things, versions = run(look)
    assert uids.split()[::2] == ["65534", "1"]
    assert set(status["Uid"].split() + status["Gid"].split()) == {"65534"}
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert "Seccomp:\t2" in first
    forked = isinstance(engine, Forked)
    assert environment == ("EACCES" if forked else "")
    assert command.split("\0")[0 if forked else 3 :] == [*(ZYGOTE_COMMAND if forked else bubblewrap.COMMAND), ""]
    assert [line.split(":")[0].strip() for line in network.splitlines()[2:]] == ["lo"]
    threads = ["MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    # 3 and 4 are where the harness moved the pipes to the judge, 5 lists the folder.
    fds = [str(number) for number in range(6)]
    assert things == ["'s'", repr(sorted([*threads, "PWD"])), repr(fds), "'/tmp'", "['1', '2']"]
    assert versions["python"] == sys.version.split()[0]


@pytest.mark.parametrize("engine", ["container"], indirect=True)
def test_root_starts_each_sandbox_as_another_user(engine, inside):
    """Outside, the processes are of a user that nothing else runs as, and the kernel takes them first for memory."""
    ask, other = inside(engine), inside(engine)
    users: list[int] = []
    for each in (ask, other):
        pids = [each.sandbox._process._popen.pid, *processes_below(each.sandbox._process._popen.pid)]
        assert len(pids) == 3
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in pids}
        assert len(owners) == 1
        assert {Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in pids} == {"500\n"}
        users += owners
    assert users[0] != users[1]
    assert set(users) <= set(bubblewrap._USERS)


def test_only_the_scratch_space_can_be_written(run, engine, inside):
    """/tmp and /dev/shm are one file system, bounded in size, and in number of files where root mounts it."""

    def write():
        ask = inside(engine)
        mounts = [line.split() for line in ask("see", "/proc/mounts").splitlines()]
        assert all("nosuid" in mount[3].split(",") for mount in mounts)
        writable = [mount[1] for mount in mounts if "rw" in mount[3].split(",")]
        places = ("/x", "/usr/x", "/dev/x", "/sandbox/x", "/sandbox/lib/x", "/sandbox/lib/numpy/x", "/proc/x")
        refused = [ask("attempt", f"open({place!r}, 'w')") for place in places]
        shared = ask("attempt", "open('/dev/shm/x', 'w').close() or os.listdir('/tmp')")
        filled = ask("attempt", "open('/tmp/big', 'wb').write(bytes(9 << 20))")
        ask("attempt", "os.unlink('/tmp/big')")
        several = ask("attempt", "[open('/dev/shm/b%d' % i, 'wb').write(bytes(3 << 20)) for i in range(3)]")
        ask("attempt", "[os.unlink('/tmp/b%d' % i) for i in range(3)]")
        many = ask("attempt", "[open('/tmp/f%d' % i, 'wb').close() for i in range(300)]")
        return writable, refused, shared, filled, several, many

    writable, refused, shared, filled, several, many = run(write)
    assert set(writable) == {"/tmp", "/proc", *(f"/dev/{name}" for name in bubblewrap._DEVICES)}
    assert set(refused) <= {"EROFS", "ENOENT", "EACCES"}
    assert shared == "['x']"
    assert filled in ("EFBIG", "ENOSPC")
    assert several == "ENOSPC"
    assert ("ENOSPC" in many) == (run is as_root or isinstance(engine, Forked))


@pytest.mark.parametrize(
    "what", ["os.fork() or time.sleep(60)", "threading.Thread(target=time.sleep, args=[60], daemon=True).start()"]
)
def test_processes_and_threads_are_bounded(run, engine, inside, what):
    """Forks and threads stop at the limit, which counts the sandbox alone."""

    def swarm():
        ask = inside(engine, Limits(memory_mib=512, processes=24))  # a thread's stack takes 8 MiB
        code = f"done = []\ntry:\n    while len(done) < 500:\n        {what}\n        done.append(1)\n"
        ask("run", code + "except Exception:\n    pass")
        return int(ask("attempt", "len(done)"))

    assert 18 <= run(swarm) <= 24


def test_the_rlimits(run, engine, inside):
    """Open files, core files, file size, locked memory, message queues and priorities, hard."""
    wanted = {"NOFILE": 256, "CORE": 0, "FSIZE": 8 << 20, "MEMLOCK": 64 << 10, "MSGQUEUE": 0, "RTPRIO": 0, "NICE": 0}
    expression = f"{{name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in {list(wanted)}}}"
    assert run(lambda: inside(engine)("attempt", expression)) == repr({name: (at, at) for name, at in wanted.items()})


def test_private_memory_ends_in_an_exception(run, engine, inside):
    """The process may go on: its own limit is lower than the group's."""
    assert run(lambda: inside(engine)("attempt", "len(bytearray(100 << 20))")) == "MemoryError"
    assert run(lambda: inside(engine)("attempt", "len(bytearray(40 << 20))")) == str(40 << 20)


def test_shared_memory_ends_in_the_groups_limit(engine, inside):
    """Pages no rlimit counts: the kernel kills, its counter says so, and the verdict is the memory's."""
    ask = inside(engine)
    with pytest.raises(Broken) as caught:
        ask("run", "block = mmap.mmap(-1, 1 << 30)\nfor i in range(0, 1 << 30, 4096): block[i] = 1")
    assert caught.value.verdict is Verdict.MEMORY_LIMIT_EXCEEDED
    assert ask.sandbox.close().cause == "memory"


def test_a_process_of_the_group_that_is_killed_for_memory_is_no_death(engine, inside):
    """The submission's child goes over the limit; the submission lives, and how it ends later has other causes."""
    ask = inside(engine)
    ask(
        "run",
        "pid = os.fork()\nif pid == 0:\n    open('/proc/self/oom_score_adj', 'w').write('1000')\n"
        "    block = mmap.mmap(-1, 1 << 30)\n    for i in range(0, 1 << 30, 4096): block[i] = 1\n    os._exit(0)\n"
        "_, code = os.waitpid(pid, 0)",
    )
    if ask("attempt", "code") == "9":  # with version 2 the whole group dies
        assert ask.sandbox.close().cause == "killed"


@pytest.mark.parametrize(
    ("code", "cause", "number"),
    [
        ("os._exit(3)", "exit", 3),
        ("os._exit(0)", "exit", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal", signal.SIGKILL),
        ("os.abort()", "signal", signal.SIGABRT),
        ("ctypes.string_at(0)", "signal", signal.SIGSEGV),
    ],
)
def test_deaths_are_told_apart(run, engine, inside, code, cause, number):
    """An exit, and each signal, by its number; none of them is our fault."""

    def die():
        ask = inside(engine)
        with pytest.raises(Broken) as caught:
            ask("run", code)
        return caught.value.verdict, ask.sandbox.close()

    verdict, ended = run(die)
    assert verdict is Verdict.RUNTIME_ERROR
    assert (ended.cause, ended.number) == (cause, number)


@pytest.mark.parametrize("engine", ["container"], indirect=True)
def test_a_sandbox_ended_from_outside_is_lost(run, engine, inside):
    """Somebody killed bubblewrap: nothing follows for the submission."""

    def lose():
        ask = inside(engine)
        os.kill(ask.sandbox._process._popen.pid, signal.SIGKILL)
        with pytest.raises(Broken) as caught:
            ask("run", "time.sleep(20)")
        return caught.value.verdict, ask.sandbox.close()

    verdict, ended = run(lose)
    assert verdict is Verdict.INTERNAL_ERROR
    assert (ended.cause, ended.number) == ("lost", signal.SIGKILL)


@pytest.mark.parametrize("engine", ["container"], indirect=True)
def test_nothing_is_left(run, engine, inside):
    """Daemons of a double fork, groups, mounts and descriptors go with the sandbox; closing twice is closing once."""

    def leave():
        descriptors, mounts = list(Path("/proc/self/fd").iterdir()), staged()
        before = groups() if run is as_root else set()
        ask = inside(engine)
        ask(
            "run",
            "for _ in range(5):\n    if os.fork() == 0:\n        os.setsid() and os.fork()\n        time.sleep(60)",
        )
        process = ask.sandbox._process
        pids = [process._popen.pid, *processes_below(process._popen.pid)]
        assert len(pids) >= 8
        ended = ask.sandbox.close()
        assert process.kill() is ended
        assert not [pid for pid in pids if alive(pid)], "not at once, but some time later"
        assert (groups() if run is as_root else set()) == before
        assert list(Path("/proc/self/fd").iterdir()) == descriptors
        assert staged() == mounts
        return ended

    ended = run(leave)
    assert (ended.cause, ended.number) == ("killed", 0)
    assert ended.cpu_seconds > 0.02
    assert ended.peak_memory_mib > 5


@pytest.mark.parametrize("engine", ["container"], indirect=True)
def test_a_sandbox_that_has_not_begun_can_be_killed(run, engine):
    """At any moment of its start, and nothing is left."""

    def hurry():
        for delay in (0.0, 0.001, 0.003, 0.01, 0.03):
            process = engine.start("numpy", LIMITS)
            time.sleep(delay)
            assert process.kill().cause == "killed"
        return processes_below(os.getpid())

    assert run(hurry) == []


@pytest.mark.parametrize("engine", ["container"], indirect=True)
def test_the_sandbox_dies_with_its_judge(run, engine):
    """A judge that is killed takes the sandbox along; its group goes at the next start."""

    def orphan():
        out, into = os.pipe()
        judge_pid = os.fork()
        if judge_pid == 0:
            try:
                process = engine.start("numpy", LIMITS)
                while len(pids := [process._popen.pid, *processes_below(process._popen.pid)]) < 3:
                    time.sleep(0.01)
                os.write(into, " ".join(map(str, pids)).encode())
                time.sleep(60)
            finally:
                traceback.print_exc()
                os._exit(1)
        os.close(into)
        pids = [int(pid) for pid in os.read(out, 100).split()]
        assert len(pids) == 3
        os.kill(judge_pid, signal.SIGKILL)
        os.waitpid(judge_pid, 0)
        assert all(gone(pid) for pid in pids)
        engine.start("numpy", LIMITS).kill()
        return groups(of=f":{judge_pid}:") if run is as_root else set()

    assert run(orphan) == set()


def test_the_check_is_right_about_this_machine(run, engine):
    """It finds nothing amiss here, leaves nothing, and an ordinary user is told what is weaker."""

    def check():
        for kind in ("numpy", "torch"):
            engine.check(kind)
        assert processes_below(os.getpid()) == []
        return engine.examine()

    found = {finding.what: finding for finding in run(check)}
    assert {"bubblewrap", "sandbox", "user", "cgroup", "files"} == set(found)
    assert found["sandbox"].ok
    assert found["files"].ok == (run is as_root)
    assert all(finding.remedy for finding in found.values() if not finding.ok)


def test_what_limits_a_sandbox_is_said(run, engine):
    """The report names the control group, or admits that there is none."""

    def confinement():
        process = engine.start("numpy", LIMITS)
        process.kill()
        return process.confinement["limits"], str(cgroup.find() or "rlimits")

    said, there = run(confinement)
    assert said == there


@pytest.fixture
def unchecked(monkeypatch):
    """Let the engine check anew."""
    monkeypatch.setattr(BubblewrapEngine, "_checked", set())


def refusal(engine, kind="numpy"):
    """Return the error of a check that must fail."""
    with pytest.raises(OurFault) as caught:
        engine.check(kind)
    assert caught.value.cause
    assert caught.value.hint
    return caught.value


def fake_bwrap(monkeypatch, folder, script):
    """Put another bwrap on the path."""
    program = folder / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    folder.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.usefixtures("unchecked")
def test_a_missing_bubblewrap(monkeypatch, tmp_path, engine):
    """Nothing on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(engine).code == "E4110"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("engine", ["container"], indirect=True)  # it changes folders that two would share
def test_an_old_bubblewrap(monkeypatch, tmp_path, engine):
    """Its age is named, not the option it does not know."""
    script = '[ "$1" = --version ] && echo bubblewrap 0.4.1 && exit\necho unknown option >&2; exit 1'
    fake_bwrap(monkeypatch, tmp_path, script)
    monkeypatch.setattr(bubblewrap, "diagnose", None)
    # The dropped user may not reach the test's folder: then bwrap cannot be run at all.
    with contextlib.ExitStack() as stack:
        for parent in tmp_path.parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH:
                parent.chmod(mode | stat.S_IXOTH)
                stack.callback(parent.chmod, mode)
        error = refusal(engine)
    assert (error.code, "0.4.1" in error.cause) == ("E4110", True)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", 0, "user.max_user_namespaces=15000"),
        ("kernel/apparmor_restrict_unprivileged_userns", 1, "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_forbidden_user_namespaces(tmp_path, name, value, remedy):
    """The setting that forbids them is found, and the command that changes it is given."""
    setting = tmp_path / name
    setting.parent.mkdir()
    setting.write_text(f"{value}\n")
    error = bubblewrap.diagnose("bwrap: No permissions to create a new namespace", tmp_path)
    assert (error.code, remedy in error.hint) == ("E4111", True)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "E4111"),
        ("bwrap: Creating new namespace failed: Operation not permitted", "E4111"),
        ("bwrap: prctl(PR_SET_SECCOMP): Invalid argument", "E4113"),
        ("bwrap: something new", "E4101"),
    ],
)
def test_what_bubblewrap_says_is_understood(tmp_path, said, code):
    """Where no setting explains it."""
    error = bubblewrap.diagnose(said, tmp_path)
    assert (error.code, said in error.cause, bool(error.hint)) == (code, True, True)


@pytest.mark.usefixtures("unchecked")
def test_a_filter_that_the_kernel_refuses(monkeypatch, engine):
    """No sandbox without it."""
    monkeypatch.setattr(seccomp, "bpf", lambda **_: b"\xff" * 8)
    assert refusal(engine).code == "E4113"


@pytest.mark.usefixtures("unchecked")
def test_user_namespaces_that_are_really_forbidden(engine):
    """A limit of 0 in a namespace of our own is what the sysctl of a machine is."""

    def forbid():
        assert _libc.unshare(0x10000000) == 0
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        return refusal(engine).code

    assert as_user(forbid) == "E4111"


@pytest.mark.usefixtures("unchecked")
def test_required_control_groups(monkeypatch):
    """Where none can be made, an engine that must have them refuses, and the other works without."""
    monkeypatch.setattr(cgroup, "find", lambda: None)
    strict = BubblewrapEngine()
    strict.strict = True
    assert refusal(strict).code == "E4112"
    process = BubblewrapEngine().start("numpy", LIMITS)
    process.kill()
    assert process.confinement["limits"] == "rlimits"


def test_a_group_that_cannot_be_made_stops_the_start(monkeypatch, engine):
    """No half-isolated run, and nothing is left."""
    place = cgroup.Place(1, dict.fromkeys(("memory", "pids"), Path("/proc")))
    monkeypatch.setattr(cgroup, "find", lambda: place)
    with pytest.raises(OurFault) as caught:
        engine.start("numpy", LIMITS)
    assert caught.value.code == "E4112"
    assert processes_below(os.getpid()) == []


def test_torch_works_inside(engine, inside):
    """It is imported, computes, and offers nothing that its exercises do not."""
    ask = inside(engine, Limits(memory_mib=512), kind="torch")
    assert ask("attempt", "__import__('torch').ones(3).softmax(0).sum().item()") == "1.0"
    assert "pytest" not in ask("attempt", "os.listdir('/sandbox/lib')")
    assert set(ask.sandbox.versions) == {"python", "numpy", "torch"}


def test_a_judging_is_the_same_as_locally():
    """The reference of softmax: verdict, points and every test."""
    softmax = exercises.load("softmax")
    source = softmax.reference.read_bytes()
    reports = [judge.judge(softmax, source, seed="5" * 32, engine=name) for name in ("bubblewrap", LocalEngine.name)]
    assert [report.environment.engine for report in reports] == ["bubblewrap", "local"]
    assert reports[0].verdict is Verdict.ACCEPTED
    bare = [without_measures(report, reports[0]) for report in reports]
    assert bare[0] == bare[1]
