"""Engine `bubblewrap`: a sandbox of namespaces, without a daemon and without root.

Inside there is Python, the exercise's libraries, the harness and an empty, small /tmp; all else of the machine is not
there rather than forbidden: no shell, no compiler, no network, no other process, no right that a user could have.

Root gives its rights up before bubblewrap starts: the sandbox runs as a user of its own, whom nothing belongs to. That
user may not reach a Python below somebody's home, so root first binds what is needed into a mount namespace of the
sandbox's own. Anyone else starts it as they are, and the kernel maps them to nobody.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from grader.engine import MODULES, Ended, Finding, Kind, Pipes
from grader.errors import OurFault, UsageError
from grader.exercise import Limits
from grader.local import HARNESS, child_of, cpu_below, die_with_parent, waited_seconds
from grader.slot import ZYGOTE, Order, Slot, Used
from worker import cgroup, seccomp

OLDEST = (0, 8)
PYTHON = "/usr/bin/python3"
COMMAND = (PYTHON, "-I", "-S", "-B", "/sandbox/harness.py")
ZYGOTE_COMMAND = (*COMMAND[:-1], "/sandbox/zygote.py")
_USERS = range(61184, 65520)
"""Nobody's: systemd gives these to services for as long as they run."""
_NAMESPACES = (
    "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "s", "--die-with-parent",
    "--new-session", "--clearenv", "--cap-drop", "ALL",
)  # fmt: skip
_NO_MORE_NAMESPACES = ("--disable-userns", "--assert-userns-disabled")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_HIDDEN = (
    "cmdline", "config.gz", "interrupts", "kallsyms", "key-users", "keys", "modules", "sched_debug", "timer_list",
)  # fmt: skip
"""Files of /proc that tell of the machine, not of the sandbox."""
_NOT_OURS = ("site-packages", "dist-packages", "ensurepip", "test")
_OWN_PROCESSES = 3
"""bubblewrap outside, its first process inside, and one that it forks in passing."""
_SLOT_PROCESSES = 2
"""The zygote, and the first process of its fork."""
_RESTING_PROCESSES = 3
"""bubblewrap outside and inside, and a zygote without a fork."""
_STAGE = "/sys"
"""Where root binds what the sandbox sees: a folder that every machine has and no Python lies below."""
_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_MSGQUEUE: 0,
    resource.RLIMIT_RTPRIO: 0,
    resource.RLIMIT_NICE: 0,
    resource.RLIMIT_MEMLOCK: 64 << 10,
}
_DELEGATE = "run as root, or: systemd-run --user --scope -p Delegate=yes grader ..."
_INSTALL = "apt install bubblewrap (or your system's like)"
_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 8, 32, 4096
_MS_REC, _MS_SLAVE = 1 << 14, 1 << 19
_PR_SET_NO_NEW_PRIVS = 38
_KILL_SECONDS = 5.0
_TRIAL_SECONDS = 10.0
_LAST_WORDS_SECONDS = 1.0
_SIGNALS = 128
_Cause = Literal["exit", "signal", "memory", "killed", "lost"]
_libc = ctypes.CDLL(None, use_errno=True)


class BubblewrapEngine:
    """Starts a sandbox for each judging."""

    name = "bubblewrap"
    waits = False
    strict = False
    _checked: ClassVar[set[Kind]] = set()

    def __init__(self, sysctls: Path = Path("/proc/sys")) -> None:
        """Take where the kernel's settings are read."""
        self._sysctls = sysctls

    def start(self, kind: Kind, limits: Limits) -> "BubblewrapProcess":
        """Start a harness; raises OurFault and leaves nothing behind."""
        return BubblewrapProcess(kind, limits, self._place())

    def slot(self, kind: Kind, limits: Limits) -> Slot:
        """Start a slot; raises OurFault and leaves nothing behind."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            host = BubblewrapSlot(kind, limits, self._place(), theirs)
        hidden = [f"/proc/{name}" for name in _HIDDEN if Path("/proc", name).exists()]
        return Slot(host, control, Order(seccomp.bpf(), hidden, ["/tmp"]), kind, limits)  # noqa: S108 - the sandbox's

    def preload(self, kind: Kind) -> None:
        """Find the libraries, and work out the filter."""
        with contextlib.suppress(UsageError):  # `start` raises it again
            _binds(kind)
        seccomp.bpf()

    def check(self, kind: Kind) -> None:
        """Find the libraries, and start a sandbox in which Python says its version; raises OurFault or UsageError."""
        self._place()
        if kind in self._checked:
            return
        self._try(kind)
        self._checked.add(kind)

    def examine(self) -> list[Finding]:
        """Say which bubblewrap there is, whether it may do its work, and what limits a sandbox here."""
        try:
            found = [Finding("bubblewrap", ok=True, seen=".".join(map(str, version())))]
            self._try("numpy")
        except (OurFault, UsageError) as error:
            return [Finding("sandbox", ok=False, seen=f"{error.what}: {error.cause}", remedy=error.hint)]
        root, place = os.geteuid() == 0, cgroup.find()
        user = "one of its own for each sandbox" if root else f"yours (uid {os.geteuid()}), mapped to nobody"
        files = "limited in size and number" if root else "limited in size, not in number"
        return [
            *found,
            Finding("sandbox", ok=True, seen="user namespaces and the seccomp filter work"),
            Finding("user", ok=True, seen=user),
            Finding(
                "cgroup",
                ok=place is not None,
                seen=str(place or "none, rlimits only"),
                remedy="" if place else _DELEGATE,
            ),
            Finding("files", ok=root, seen=files, remedy="" if root else "run as root"),
        ]

    def _place(self) -> cgroup.Place | None:
        place = cgroup.find()
        if place is None and self.strict:
            cause = "memory and pids are not delegated to this user"
            raise OurFault("E4112", "no control group can be made", cause=cause, hint=_DELEGATE)
        return place

    def _try(self, kind: Kind) -> None:
        self._place()
        process = BubblewrapProcess(kind, Limits(), None, (PYTHON, "--version"))
        limit = time.monotonic() + _TRIAL_SECONDS
        while not process.ended() and time.monotonic() < limit:
            time.sleep(0.001)
        said = b""
        while select.select([process.prints], [], [], _LAST_WORDS_SECONDS)[0] and (part := process.read_prints()):
            said += part  # to its end: what complains may outlive the process that we wait for
        ended = process.kill()
        if (ended.cause, ended.number) != ("exit", 0):
            version()  # an old one is refused for its age, not for the option that it does not know
            raise diagnose(said.decode(errors="replace").strip(), self._sysctls)


class BubblewrapProcess(Pipes):
    """A bubblewrap process, the sandbox below it, and its control group."""

    def __init__(
        self,
        kind: Kind,
        limits: Limits,
        place: cgroup.Place | None,
        command: Sequence[str] = COMMAND,
        control: socket.socket | None = None,
    ) -> None:
        """Start it: descriptors 0, 1 and 2 are pipes to us, there are no others, and the environment is empty.

        With `control`, which then is descriptor 0, it may make namespaces: what it runs must be a slot's zygote.
        """
        binds = _binds(kind)
        user = _free_user() if os.geteuid() == 0 else 0
        self._result: Ended | None = None
        self._first: int | None = None
        self._harness = 0
        self._group = _make_group(place, kind, limits, slot=control is not None)
        prepare = functools.partial(_prepare, self._group, user, [source for source, _ in binds], limits, os.getpid())
        try:
            arguments = _arguments(binds, limits, staged=bool(user), slot=control is not None)
            self._popen, self._info = _launch(command, arguments, prepare, control)
        except BaseException:
            if self._group is not None:
                self._group.close()
            raise
        self.requests, self.answers, self.prints = (
            pipe.fileno() if pipe is not None else -1
            for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        )
        self.confinement = {"isolation": "container", "limits": str(place or "rlimits")}

    def ended(self) -> bool:
        """Tell whether the sandbox has ended by itself (it stays to be waited for)."""
        if self._result is not None:
            return True
        return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def waited_seconds(self) -> float:
        """Return how long the harness waited for a core."""
        return waited_seconds(self._inside())

    def _inside(self) -> int:
        """Return the harness's number outside: the child of the first process inside; 0 before there is one."""
        if not self._harness and (first := self._first_process()):
            self._harness = child_of(first)
        return self._harness

    def cpu_seconds(self) -> float:
        """Return the processor time of the control group; without one, of what lives inside."""
        if self._result is not None:
            return float("nan")
        return self._group.cpu_seconds() if self._group is not None else cpu_below(self._popen.pid)

    def spent(self) -> tuple[float, float] | None:
        """Read the control group, if there is one."""
        usage = self._group.usage() if self._group is not None else None
        return (usage.cpu_seconds, usage.peak_memory_mib) if usage is not None else None

    def kill(self) -> Ended:
        """End the first process inside, and with it the kernel ends all others; then release what was held."""
        if self._result is not None:
            return self._result
        by_itself = self.ended()
        first = self._first_process()
        usage = cgroup.Usage(*_used(first), 0)
        gone = _wait(first, kill=not by_itself)
        _wait(self._popen.pid, kill=not first, seconds=1.0)  # it ends with its sandbox
        os.kill(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if first:
            with contextlib.suppress(ChildProcessError):  # ours only where orphans are adopted
                os.waitpid(first, os.WNOHANG)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()
        os.close(self._info)
        if self._group is not None:
            usage = self._group.usage()
        cause: _Cause = "killed"
        number = 0
        if by_itself:
            cause, number = _cause(self._popen.returncode, usage.oom_kills)
        self._result = Ended(cause, number, usage.cpu_seconds, usage.peak_memory_mib)
        if self._group is not None:
            self._group.close()
        if not gone:
            raise OurFault("E4102", "processes of a submission could not be ended", hint="restart the grader")
        return self._result

    def _first_process(self) -> int:
        """Return the first process inside, by its number outside; 0 where bubblewrap did not come to start one."""
        if self._first is None:
            said = os.read(self._info, 1 << 12) if select.select([self._info], [], [], _KILL_SECONDS)[0] else b""
            found = re.search(rb'"child-pid": (\d+)', said)
            self._first = int(found[1]) if found else 0
        return self._first


class BubblewrapSlot(BubblewrapProcess):
    """A bubblewrap process with a slot's zygote in it."""

    def __init__(self, kind: Kind, limits: Limits, place: cgroup.Place | None, control: socket.socket) -> None:
        """Start it; `control` becomes the zygote's."""
        super().__init__(kind, limits, place, ZYGOTE_COMMAND, control)
        self._before = cgroup.Usage(0.0, 0.0, 0)

    def locate(self) -> None:
        """Find bubblewrap's first process inside."""
        self._first_process()

    def harness(self) -> int:
        """Return the number of the fork's harness outside: below bubblewrap's process, the zygote and the first."""
        return child_of(child_of(child_of(self._first_process())))

    def begin(self) -> None:
        """Count from here on."""
        if self._group is not None:
            self._group.forget_peak()
            self._before = self._group.usage()

    def used(self) -> Used | None:
        """Return what was used since `begin`."""
        if self._group is None:
            return None
        now = self._group.usage()
        kills = now.oom_kills - self._before.oom_kills
        return Used(now.cpu_seconds - self._before.cpu_seconds, now.peak_memory_mib, kills)

    def empty(self) -> bool:
        """Tell whether the group has only bubblewrap and the zygote; without one, the kernel has ended the rest."""
        return self._group is None or self._group.processes() == _RESTING_PROCESSES


def version() -> tuple[int, ...]:
    """Return the version of the bubblewrap on the path; raises OurFault where it is missing or too old."""
    try:
        said = subprocess.run([_program(), "--version"], capture_output=True, check=False, env={}, text=True)  # noqa: S603 - found above
    except OSError as error:
        raise OurFault("E4110", "bubblewrap cannot be run", cause=str(error), hint=_INSTALL) from error
    found = tuple(int(part) for part in re.findall(r"\d+", said.stdout))
    if found < OLDEST:
        needed = ".".join(map(str, OLDEST))
        cause = f"this is {said.stdout.strip() or said.stderr.strip()}; {needed} is needed"
        raise OurFault("E4110", "bubblewrap is too old", cause=cause, hint=_INSTALL)
    return found


def _program() -> str:
    program = shutil.which("bwrap")
    if program is None:
        raise OurFault("E4110", "bubblewrap is missing", cause="there is no bwrap on the path", hint=_INSTALL)
    return program


def diagnose(said: str, sysctls: Path = Path("/proc/sys")) -> OurFault:
    """Say why no sandbox could be started, from what bubblewrap said and the kernel's settings."""
    if "seccomp" in said.lower():
        hint = "use a kernel with CONFIG_SECCOMP_FILTER, or another engine"
        return OurFault("E4113", "the kernel refuses the seccomp filter", cause=said, hint=hint)
    what = "user namespaces are forbidden here"
    for name, forbids, remedy in (
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "15000"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ):
        file = sysctls / name
        if file.exists() and file.read_text(encoding="ascii").strip() == forbids:
            setting = name.replace("/", ".")
            return OurFault("E4111", what, cause=f"{setting} = {forbids}", hint=f"sudo sysctl -w {setting}={remedy}")
    if "mount proc" in said.lower():
        hint = "start the container with --security-opt systempaths=unconfined"
        return OurFault("E4111", what, cause=f"/proc is masked, as in a container ({said})", hint=hint)
    if re.search("namespace|uid map|loopback|unshare", said):
        hint = "a container needs --security-opt seccomp=unconfined; or use the engine docker"
        return OurFault("E4111", what, cause=said, hint=hint)
    return OurFault("E4101", "the sandbox could not be started", cause=said, hint="see `grader doctor`")


@functools.cache
def _binds(kind: Kind) -> list[tuple[Path | None, Path]]:
    """List what of the host is seen inside, read-only, as (source, target); no source: an empty folder covers it."""
    library = f"lib/{sys.implementation._multiarch}"  # noqa: SLF001 - sysconfig, which tells it too, takes 10 ms
    system = [folder for top in ("/usr", "/") for name in (library, "lib64") if _is_real(folder := Path(top, name))]
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix, home = Path(sys.base_prefix), Path("/usr", sys.platlibdir, name)
    source = prefix / sys.platlibdir / name
    binds: list[tuple[Path | None, Path]] = [(folder, folder) for folder in system]
    binds += [(loader, loader.parent.resolve() / loader.name) for loader in Path("/lib").glob("ld-linux-*")]
    binds += [(None, folder) for top in system for folder in top.glob("python*")]
    binds += [((prefix / "bin" / name).resolve(), Path(PYTHON)), (source, home)]
    binds += [(None, home / each) for each in _NOT_OURS if (source / each).is_dir()]
    for file in (prefix / "lib").glob(f"lib{name}*.so.1.0"):  # it must be found before another one of the system
        places = [folder / file.name for folder in system if (folder / file.name).exists()]
        binds += [(file, place) for place in places or [Path("/usr/lib", file.name)]]
    ours = [(file, Path("/sandbox", file.name)) for file in (HARNESS, ZYGOTE)]
    return [*binds, *ours, *_libraries(kind)]


def _is_real(folder: Path) -> bool:
    """Tell whether a folder is there under its own name, not by a link."""
    return folder.is_dir() and folder.resolve() == folder


def _libraries(kind: Kind) -> list[tuple[Path, Path]]:
    """List the installed packages and modules that exercises of `kind` may import."""
    binds = []
    for name in MODULES[kind]:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            if name == kind:
                hint = 'pip install "grader[judge,torch]"' if kind == "torch" else 'pip install "grader[judge]"'
                raise UsageError("E2109", f"this installation cannot judge: {name} is missing", hint=hint)
            continue
        place = Path(spec.origin)
        place = place.parent if spec.submodule_search_locations else place
        beside = place.with_name(f"{place.name}.libs")
        binds += [(each, Path("/sandbox/lib", each.name)) for each in (place, beside) if each.exists()]
    return binds


def _arguments(
    binds: Sequence[tuple[Path | None, Path]], limits: Limits, *, staged: bool, slot: bool = False
) -> list[str]:
    """Return bubblewrap's options; what root staged lies there under its number.

    In a slot's /proc nothing is hidden, or the kernel would let no fork mount one of its own; there is no submission.
    """
    arguments = [*_NAMESPACES, *(() if slot else _NO_MORE_NAMESPACES)]
    for top in (Path("/lib"), Path("/lib64")):
        if top.is_symlink():
            arguments += ["--symlink", str(top.readlink()), str(top)]
    for number, (source, target) in enumerate(binds):
        if source is None:
            arguments += ["--size", "4096", "--tmpfs", str(target), "--remount-ro", str(target)]
        else:
            arguments += ["--ro-bind", f"{_STAGE}/{number}" if staged else str(source), str(target)]
    for name in _DEVICES:
        arguments += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for aim, link in (("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")):
        arguments += ["--symlink", aim, f"/dev/{link}"]
    arguments += ["--proc", "/proc"]
    for name in () if slot else _HIDDEN:
        if Path("/proc", name).exists():
            arguments += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    scratch = ["--bind", f"{_STAGE}/scratch"] if staged else ["--size", str(limits.scratch_mib << 20), "--tmpfs"]
    # One file system of limited size for both.
    return [*arguments, *scratch, "/tmp", "--symlink", "../tmp", "/dev/shm", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


def _make_group(place: cgroup.Place | None, kind: Kind, limits: Limits, *, slot: bool) -> cgroup.Group | None:
    if place is None:
        return None
    memory = limits.memory_mib + cgroup.LIBRARIES_MIB[kind] + limits.scratch_mib
    processes = limits.processes + _OWN_PROCESSES + slot * _SLOT_PROCESSES
    try:
        return cgroup.Group(place, memory_mib=memory, processes=processes, cores=limits.cores, together=not slot)
    except OSError as error:
        raise OurFault("E4112", "no control group can be made", cause=str(error), hint="see `grader doctor`") from error


def _free_user() -> int:
    """Choose a user that nothing runs as."""
    taken = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError):
                taken.add(entry.stat().st_uid)
    return random.SystemRandom().choice([user for user in _USERS if user not in taken])


def _launch(
    command: Sequence[str],
    arguments: Sequence[str],
    prepare: Callable[[int], None],
    control: socket.socket | None,
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start bubblewrap; return it, and a descriptor from which the first process inside can be read."""
    program = _program()
    with contextlib.ExitStack() as opened:

        def keep(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        # Not on the command line, which /proc/1/cmdline shows inside.
        options, rules = os.memfd_create("options"), os.memfd_create("seccomp")
        said_out, said_in = os.pipe()
        info_out, info_in = os.pipe()
        for descriptor in (options, rules, said_out, said_in, info_in):
            keep(descriptor)
        _fill(rules, seccomp.bpf(slot=control is not None))
        arguments = ["--seccomp", str(rules), "--info-fd", str(info_in), *arguments]
        _fill(options, b"".join(os.fsencode(argument) + b"\0" for argument in arguments))
        try:
            popen = subprocess.Popen(  # noqa: S603 - no shell, and no word of it from a submission
                [program, "--args", str(options), *command],
                stdin=subprocess.PIPE if control is None else control.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(options, rules, info_in),
                start_new_session=True,
                preexec_fn=functools.partial(prepare, said_in),  # noqa: PLW1509 - the judge has one thread
                bufsize=0,
            )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(info_out)
            os.set_blocking(said_out, False)
            with contextlib.suppress(BlockingIOError):
                raise diagnose(os.read(said_out, 1 << 12).decode()) from error
            raise OurFault(
                "E4101", "the sandbox could not be started", cause=str(error), hint="see `grader doctor`"
            ) from error
    return popen, info_out


def _fill(descriptor: int, content: bytes) -> None:
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)


def _prepare(
    group: cgroup.Group | None, user: int, sources: Sequence[Path | None], limits: Limits, parent: int, complain: int
) -> None:
    """Make the forked child what bubblewrap shall start as; runs between fork and exec."""
    try:
        if group is not None:
            group.join()
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")  # the kernel's choice before the judge
        if user:
            _stage(sources, limits, user)
        for limit, value in {**_LIMITS, resource.RLIMIT_FSIZE: limits.scratch_mib << 20}.items():
            hard = resource.getrlimit(limit)[1]
            lower = value if hard == resource.RLIM_INFINITY else min(value, hard)  # an ordinary user cannot raise it
            resource.setrlimit(limit, (lower, lower))
        if user:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        _call("no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        die_with_parent()  # after the change of user, which resets it
        if os.getppid() != parent:
            os._exit(1)
    except OSError as error:
        os.write(complain, str(error).encode())
        raise


def _stage(sources: Sequence[Path | None], limits: Limits, user: int) -> None:
    """As root: bind what the sandbox may see, read-only, where `user` can reach it, in a mount namespace of its own."""
    _call("unshare", _libc.unshare(_CLONE_NEWNS))
    _mount("none", "/", flags=_MS_REC | _MS_SLAVE)  # nothing gets out, and what the host unmounts is not kept
    _mount("tmpfs", _STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "mode=755,size=1m")
    for number, source in enumerate(sources):
        if source is None:
            continue
        target = Path(_STAGE, str(number))
        if source.is_dir():
            target.mkdir()
        else:
            target.touch()
        _mount(str(source), str(target), flags=_MS_BIND)
        _mount("none", str(target), flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    scratch = Path(_STAGE, "scratch")
    scratch.mkdir()
    options = f"size={limits.scratch_mib}m,nr_inodes={limits.scratch_files},uid={user},gid={user},mode=700"
    _mount("tmpfs", str(scratch), "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)


def _mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    done = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _call(f"mount {source}", done)


def _call(what: str, done: int) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _wait(pid: int, *, kill: bool, seconds: float = _KILL_SECONDS) -> bool:
    """Wait until a process has ended, killing it where asked; True when it has, or there is none."""
    try:
        process = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return True
    if process < 0:
        return True
    try:
        if kill:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)


def _used(first: int) -> tuple[float, float]:
    """Add up seconds of processor time and MiB at most of what lives inside: all that is known without a group."""
    seconds = peak = 0.0
    todo = [first] if first else []
    while todo:
        process = Path("/proc", str(todo.pop()))
        with contextlib.suppress(OSError, StopIteration):
            ticks = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[11:15]
            seconds += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            lines = (process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
            peak += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
            todo += map(int, (process / "task" / process.name / "children").read_text(encoding="ascii").split())
    return seconds, peak


def _cause(code: int, oom_kills: int) -> tuple[_Cause, int]:
    """Tell how a sandbox ended by itself from bubblewrap's exit code (the inner one, or 128 and the inner signal)."""
    if oom_kills and code in (-signal.SIGKILL, _SIGNALS + signal.SIGKILL):
        return "memory", signal.SIGKILL
    if code < 0:
        return "lost", -code
    if _SIGNALS < code < _SIGNALS + signal.NSIG:
        return "signal", code - _SIGNALS
    return "exit", code
