"""A control group for each sandbox: memory, processes and processor time, limited and counted by the kernel.

Version 1 (a hierarchy for each controller) and version 2 (one for all), wherever they are mounted. Groups lie below one
folder, `grader`, as near to the root as this user may write: at the root for root, in the user's own branch where
systemd delegates one. A group's name begins with its owner (grader/owner.py), so that the next start finds and removes
what a killed judge left.
"""

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader import owner
from grader.errors import OurFault

LIBRARIES_MIB = {"numpy": 160, "torch": 640}
"""What the interpreter and the libraries take before a submission has anything, with room to spare."""
CUDA_MIB = 4096
"""What a context on a GPU and the kernels that are loaded for it take besides."""
CUDA_PROCESSES = 64
"""Threads of CUDA's own, and the programs that make machine code of a kernel."""
_FOLDER = "grader"
_PERIOD = 100_000
_KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Usage:
    """What a group used so far; `oom_kills` counts processes killed at the memory limit."""

    cpu_seconds: float
    peak_memory_mib: float
    oom_kills: int


@dataclass(frozen=True)
class Place:
    """Where groups can be made: the folder of each controller; with version 2 it is the same for all."""

    version: int
    folders: dict[str, Path]

    def __str__(self) -> str:
        """Name the version, and the controllers where one is missing."""
        missing = {"memory", "pids", "cpu"} - set(self.folders)
        return f"cgroup v{self.version}" + (f" without {', '.join(sorted(missing))}" if missing else "")


def find(proc: Path = Path("/proc/self")) -> Place | None:
    """Return where this process may make groups that limit memory and processes; None where it may not."""
    own: dict[str, str] = {}
    for line in (proc / "cgroup").read_text(encoding="utf-8").splitlines():
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    folders: dict[str, Path] = {}
    unified = None
    for mount, kind, options in _mounts(proc):
        if kind == "cgroup2":
            unified = mount
        else:
            for controller in {"memory", "pids", "cpu", "cpuacct"} & options & set(own):
                folder = _first(mount, own[controller], lambda _step, _folder: None)
                folders |= {controller: folder} if folder else {}
    if {"memory", "pids"} <= set(folders):
        return Place(1, folders)
    found = _first(unified, own[""], _delegate) if unified is not None and "" in own else None
    if found is None:
        return None
    controllers = set((found / "cgroup.subtree_control").read_text(encoding="ascii").split())
    return Place(2, dict.fromkeys(controllers & {"memory", "pids", "cpu"}, found))


def _first(mount: Path, own: str, prepare: Callable[[Path, Path], None]) -> Path | None:
    """Return the folder for groups nearest to the mount on the way to our own group."""
    step = mount
    for part in ["", *own.strip("/").split("/")]:
        step /= part
        folder = step / _FOLDER
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            prepare(step, folder)
            if os.access(folder, os.W_OK):
                return folder
    return None


def _delegate(step: Path, folder: Path) -> None:
    """Let the groups below `folder` have their controllers. Raises OSError where that or moving there is forbidden."""
    wanted = [name for name in (step / "cgroup.controllers").read_text().split() if name in ("memory", "pids", "cpu")]
    if not {"memory", "pids"} <= set(wanted) or not os.access(step / "cgroup.procs", os.W_OK):
        folder.rmdir()
        raise PermissionError(f"{step} does not delegate memory and pids")
    for group in (step, folder):
        control = group / "cgroup.subtree_control"
        if not set(wanted) <= set(control.read_text().split()):
            control.write_text(" ".join(f"+{name}" for name in wanted))


class Group:
    """One sandbox's group: made and limited here, joined by the sandbox, emptied and removed at its end."""

    def __init__(self, place: Place, *, memory_mib: int, processes: int, cores: float, together: bool = True) -> None:
        """Remove what dead judges left, make the group and set its limits. Raises OSError.

        `together`: at the memory limit the kernel ends all of it, where it can (version 2), not the largest process.
        """
        self.place = place
        remove_orphans(place)
        name = f"{owner.me()}:{secrets.token_hex(4)}"
        self._folders = {controller: folder / name for controller, folder in place.folders.items()}
        try:
            for folder in set(self._folders.values()):
                folder.mkdir()
            self._limit(memory_mib, processes, cores, together=together)
        except OSError:
            self.close()
            raise

    def _limit(self, memory_mib: int, processes: int, cores: float, *, together: bool) -> None:
        """Set the limits; memory and swap together are no more than memory. Raises OSError."""
        memory, quota = str(memory_mib << 20), max(1000, int(cores * _PERIOD))
        if self.place.version == 1:
            self._set("memory", "memory.limit_in_bytes", memory)
            self._set("memory", "memory.memsw.limit_in_bytes", memory, optional=True)
            self._set("cpu", "cpu.cfs_quota_us", str(quota), optional=True)
        else:
            self._set("memory", "memory.max", memory)
            self._set("memory", "memory.swap.max", "0", optional=True)
            self._set("memory", "memory.oom.group", str(int(together)), optional=True)
            self._set("cpu", "cpu.max", f"{quota} {_PERIOD}", optional=True)
        self._set("pids", "pids.max", str(processes))

    def join(self) -> None:
        """Move the calling process into the group; call it in the child, before exec. Raises OSError."""
        for folder in set(self._folders.values()):
            (folder / "cgroup.procs").write_text("0")

    def usage(self) -> Usage:
        """Return what was used so far, by the kernel's counters."""
        return _usage(self.place.version, self._folders)

    def cpu_seconds(self) -> float:
        """Return the processor time used so far; NaN where no controller counts it."""
        return read_cpu(cpu_counter(self.place.version, self._folders))

    def forget_peak(self) -> None:
        """Begin to look for the most memory anew, where the kernel can (version 1)."""
        with contextlib.suppress(OSError):
            self._set("memory", "memory.max_usage_in_bytes", "0", optional=True)

    def processes(self) -> int:
        """Return how many processes there are in it."""
        return len((self._folders["pids"] / "cgroup.procs").read_text(encoding="ascii").split())

    def close(self) -> None:
        """Kill what is left, see that nothing is, and remove the group. Raises OurFault where something stays."""
        for folder in set(self._folders.values()):
            if folder.exists():
                _remove(folder)

    def _set(self, controller: str, file: str, value: str, *, optional: bool = False) -> None:
        """Write a limit; an optional one may be missing, as without swap accounting."""
        folder = self._folders.get(controller)
        if folder is not None and (not optional or (folder / file).exists()):
            (folder / file).write_text(value)


def usage_of(pid: int, within: str) -> Usage:
    """Return what the group of another process used so far; zeros where its path does not hold the text `within`.

    A container's first process is looked up so: where its daemon is on another machine, the number is nobody's here.
    """
    version, folders = _folders_of(pid, within)
    with contextlib.suppress(OSError):  # it may end at this moment
        if folders:
            return _usage(version, folders)
    return Usage(0.0, 0.0, 0)


def counter_of(pid: int, within: str) -> Path | None:
    """Return the file that counts the processor time of another process's group; None where it is out of sight."""
    return cpu_counter(*_folders_of(pid, within))


def cpu_counter(version: int, folders: dict[str, Path]) -> Path | None:
    """Return the file that counts a group's processor time, if there is one."""
    if version == 1:
        found = folders.get("cpuacct") or folders.get("cpu")
        file = found / "cpuacct.usage" if found else None
    else:
        file = folders["memory"] / "cpu.stat"
    return file if file is not None and file.exists() else None


def read_cpu(counter: Path | None) -> float:
    """Return the seconds that such a file counts; NaN where there is none any more."""
    with contextlib.suppress(OSError):
        if counter is not None and counter.name == "cpuacct.usage":
            return int(counter.read_text()) / 1e9
        if counter is not None:
            return _field(counter, "usage_usec") / 1e6
    return float("nan")


def _folders_of(pid: int, within: str) -> tuple[int, dict[str, Path]]:
    """Return the version and the folders, by controller, of another process's group whose path holds `within`."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 1, {}
    paths = {name: path for _, names, path in (line.split(":", 2) for line in lines) for name in names.split(",")}
    folders = {}
    for mount, kind, options in _mounts():
        for name in {""} if kind == "cgroup2" else {"memory", "cpuacct"} & options:
            if within in paths.get(name, ""):
                folders[name] = mount / paths[name].lstrip("/")
    if "memory" in folders or "" not in folders:
        return 1, folders if "memory" in folders else {}
    return 2, {"memory": folders[""]}


def _mounts(proc: Path = Path("/proc/self")) -> Iterator[tuple[Path, str, set[str]]]:
    """List the mounted hierarchies: where, `cgroup` or `cgroup2`, and with which controllers."""
    for line in (proc / "mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(before.split()[4]), kind, set(options.split(","))


def _usage(version: int, folders: dict[str, Path]) -> Usage:
    memory = folders["memory"]
    if version == 1:
        nanoseconds = _number(folders.get("cpuacct", memory) / "cpuacct.usage")
        peak, kills = _number(memory / "memory.max_usage_in_bytes"), _field(memory / "memory.oom_control")
    else:
        nanoseconds = _field(memory / "cpu.stat", "usage_usec") * 1000
        peak, kills = _number(memory / "memory.peak"), _field(memory / "memory.events")
    return Usage(nanoseconds / 1e9, peak / (1 << 20), kills)


def remove_orphans(place: Place) -> set[str]:
    """Kill and remove the groups of judges that live no more; returns their names."""
    removed = set()
    for parent in set(place.folders.values()):
        for folder in parent.iterdir():
            if folder.is_dir() and owner.is_alive(folder.name.rpartition(":")[0]) is False:
                _remove(folder)
                removed.add(folder.name)
    return removed


def _remove(folder: Path) -> None:
    limit = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < limit:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return  # another judge was quicker
        except OSError:  # not empty yet
            _kill(folder)
            time.sleep(0.001)
        else:
            return
    raise OurFault(
        "E4102",
        "processes of a submission could not be ended",
        cause=f"{folder} is not empty",
        hint="look at its cgroup.procs, then restart the machine",
    )


def _kill(folder: Path) -> None:
    """Kill every process in the group: at once where the kernel offers it (5.14), else one by one, again and again."""
    with contextlib.suppress(OSError):
        if (folder / "cgroup.kill").exists():
            (folder / "cgroup.kill").write_text("1")
            return
        for pid in (folder / "cgroup.procs").read_text().split():
            if pid != "0":  # what a process of another pid namespace looks like
                os.kill(int(pid), signal.SIGKILL)


def _number(file: Path) -> int:
    """Read a counter; 0 where this kernel has none."""
    return int(file.read_text()) if file.exists() else 0


def _field(file: Path, name: str = "oom_kill") -> int:
    """Read a counter out of lines of names and numbers; 0 where it is missing."""
    lines = dict(line.split() for line in file.read_text().splitlines())
    return int(lines.get(name, 0))
