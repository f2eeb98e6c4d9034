"""Engine `local`: a plain process with resource limits, for one's own code on one's own machine.

It does not isolate: the submission runs with the rights of whoever runs the grader. A server refuses it.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from grader.engine import Ended, Finding, Kind, Pipes
from grader.errors import OurFault
from grader.exercise import Limits

HARNESS = Path(__file__).parent / "harness.py"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_FILE_BYTES = 16 << 20
_OPEN_FILES = 256
_NICE = 5
_PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED; with the inverted pid above it, it is what clock_getcpuclockid(3) returns."""
_libc = ctypes.CDLL(None, use_errno=True)
_BEGIN = f"""
import ctypes, importlib.machinery, os, resource, sys
prctl = ctypes.CDLL(None).prctl
prctl({_PR_SET_PDEATHSIG}, {signal.SIGKILL:d}, 0, 0, 0)
if os.getppid() != int(sys.argv[2]):
    os._exit(1)
prctl({_PR_SET_NO_NEW_PRIVS}, 1, 0, 0, 0)  # a setuid program would be beyond our signals
resource.setrlimit(resource.RLIMIT_FSIZE, ({_FILE_BYTES}, {_FILE_BYTES}))
resource.setrlimit(resource.RLIMIT_NOFILE, ({_OPEN_FILES}, {_OPEN_FILES}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
__file__ = sys.argv[1]
sys.argv = [__file__]
exec(importlib.machinery.SourceFileLoader("__main__", __file__).get_code("__main__"))
"""
"""What the sandbox's process runs first. Not between fork and exec: a fork of a judge that has PyTorch takes 50 ms."""


def adopt_orphans() -> None:
    """Make this process the parent of every orphan below it, so that a double fork hides nothing.

    From here on `LocalProcess.kill` ends *every* process below this one but other sandboxes': the judge calls
    it in its own child process, where nothing else lives.
    """
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    LocalProcess.adopts = True


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def let_others_first(*, session: bool) -> None:
    """Take a third of the share of a core that others get who want it too, with all processes that this one starts.

    An API on the same machine then answers at once; no less, since a submission's time passes while it waits. With
    `session`, so does all of this session, which the kernel may weigh as a whole: never a terminal's, or the API's own.
    """
    os.nice(_NICE)
    if session:
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")


class LocalEngine:
    """Starts the harness with this Python, and no isolation but its limits."""

    name = "local"
    waits = False
    strict = False  # it has no limits of that kind

    def start(self, kind: Kind, limits: Limits) -> "LocalProcess":  # noqa: ARG002 - the harness sets its own
        """Start a harness in a folder of its own."""
        return LocalProcess()

    def preload(self, kind: Kind) -> None:
        """Do nothing: it is quick."""

    def check(self, kind: Kind) -> None:
        """Find nothing amiss: it needs what the judge needs."""

    def examine(self) -> list[Finding]:
        """Say what it is."""
        return [Finding("isolation", ok=False, seen="none: a submission runs with your rights", remedy="use docker")]


class LocalProcess(Pipes):
    """A harness process, its folder and its descendants."""

    adopts: ClassVar[bool] = False
    _live: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        """Start it; its environment is empty, its standard descriptors are pipes to us, there are no others."""
        self._folder = tempfile.mkdtemp(prefix="grader-")
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own file
                [sys.executable, "-I", "-B", "-c", _BEGIN, str(HARNESS), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd=self._folder,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise OurFault("E4101", "the sandbox could not be started", cause=str(error)) from error
        self.requests, self.answers, self.prints = (
            pipe.fileno() for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr) if pipe is not None
        )
        self.confinement = {"limits": "rlimits"}
        self._result: Ended | None = None
        self._live.add(self._popen.pid)

    def ended(self) -> bool:
        """Tell whether the main process has ended by itself (it stays to be waited for)."""
        if self._result is not None:
            return True
        return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def waited_seconds(self) -> float:
        """Return how long the process waited for a core."""
        return waited_seconds(self._popen.pid)

    def cpu_seconds(self) -> float:
        """Return the processor time of the process and what it started; of what has ended, in hundredths."""
        return cpu_below(self._popen.pid) if self._result is None else float("nan")

    def kill(self) -> Ended:
        """End the process group, whatever escaped from it, and the folder."""
        if self._result is not None:
            return self._result
        by_itself = self.ended()
        pid = self._popen.pid
        _signal_group(pid)
        _, status, used = os.wait4(pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(status)
        self._live.discard(pid)
        if self.adopts:
            end_descendants(self._live)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()
        _remove(self._folder)
        cpu = used.ru_utime + used.ru_stime
        memory = used.ru_maxrss / 1024
        if not by_itself:
            self._result = Ended("killed", 0, cpu, memory)
        elif os.WIFSIGNALED(status):
            self._result = Ended("signal", os.WTERMSIG(status), cpu, memory)
        else:
            self._result = Ended("exit", os.WEXITSTATUS(status), cpu, memory)
        return self._result


def waited_seconds(process: int | str) -> float:
    """Return how long the first thread of a process waited for a core; 0 where the kernel does not tell."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def child_of(process: int) -> int:
    """Return the first child of a process; 0 where there is none, or it is out of sight."""
    with contextlib.suppress(OSError):
        return int((Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split() or ["0"])[0])
    return 0


def cpu_below(pid: int) -> float:
    """Return the seconds of processor time of a process and of all that it started; NaN where it is gone."""
    seconds, todo = float("nan"), [pid]
    while todo:
        process = todo.pop()
        with contextlib.suppress(OSError):  # it has ended meanwhile
            used = time.clock_gettime((~process << 3) | _PROCESS_CLOCK)
            stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
            used += sum(map(int, stat.rpartition(")")[2].split()[13:15])) / os.sysconf("SC_CLK_TCK")
            seconds = used if process == pid else seconds + used
            for task in Path(f"/proc/{process}/task").iterdir():
                todo += map(int, (task / "children").read_text(encoding="ascii").split())
    return seconds


def _remove(folder: str) -> None:
    """Remove what a submission wrote; folders nested by the thousand are too deep for `shutil`."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["/bin/rm", "-rf", "--", folder], check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - our folder


def _signal_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def end_descendants(spared: Collection[int] = ()) -> None:
    """Kill and reap everything below this process but the `spared`; stop first, so that none forks meanwhile."""
    limit = time.monotonic() + 10.0
    while time.monotonic() < limit:
        below = _descendants(os.getpid(), spared)
        if not below:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in below:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        for pid in below:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
    raise OurFault("E4102", "processes of a submission could not be ended", hint="restart the grader")


def _descendants(root: int, spared: Collection[int]) -> list[int]:
    """List the processes below `root`, by one walk over /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text(encoding="ascii", errors="replace")
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        below = [pid for pid in children.get(todo.pop(), []) if pid not in spared]
        found += below
        todo += below
    return found
