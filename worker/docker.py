"""Engine `docker`: one container a judging, on the engine the environment names (DOCKER_HOST, or the local socket).

Nothing of the host is mounted but a socket (`worker/channel.py`); the source comes as the first frame. What a container
may do is said here in one place (`host_config`) and in seccomp.toml. Its labels name the judging's process and the
moment after which it is an orphan: `reap` removes those at every start, so that a killed judge or daemon leaves nothing
for long.

    GRADER_DOCKER_RUNTIME   another runtime, for example `runsc` (gVisor)
    GRADER_DOCKER_GPUS      devices by id ("0" or "GPU-...,MIG-..."), or `all`
"""

import contextlib
import errno
import importlib
import os
import random
import select
import socket
import struct
import time
from pathlib import Path
from typing import Any

from grader import owner
from grader.engine import LONGEST_WAIT, Ended, Finding, Kind
from grader.errors import OurFault
from grader.exercise import Limits
from grader.local import child_of, waited_seconds
from worker import build, cgroup, seccomp
from worker import channel as channels

OWNER, EXPIRES = "grader.owner", "grader.expires"
UIDS = range(61184, 65520)
"""Nobody's: systemd gives these to services for as long as they run; inside the 65,536 of a remapped daemon."""
_MARGIN_SECONDS = 300.0 + LONGEST_WAIT
_CLIENT_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.005
_FRAME = struct.Struct(">BxxxL")
_SIGNALS = 128
_SIGKILL = 9
PERIOD = 100_000
_FILE_BYTES = 64 << 20
_MASKED = [
    "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc/acpi", "/proc/asound", "/proc/bus", "/proc/cmdline",
    "/proc/config.gz", "/proc/fs", "/proc/interrupts", "/proc/irq", "/proc/kallsyms", "/proc/kcore", "/proc/key-users",
    "/proc/keys", "/proc/kmsg", "/proc/latency_stats", "/proc/modules", "/proc/sched_debug", "/proc/scsi",
    "/proc/sysvipc", "/proc/timer_list", "/proc/timer_stats", "/sys/block", "/sys/bus", "/sys/class", "/sys/dev",
    "/sys/firmware", "/sys/fs", "/sys/hypervisor", "/sys/kernel", "/sys/module", "/sys/power",
]  # fmt: skip
_READ_ONLY = ["/proc/sys", "/proc/sysrq-trigger"]


class DockerEngine:
    """Starts a container for each judging."""

    name = "docker"
    waits = True
    strict = True  # its limits always hold

    def __init__(self, runtime: str | None = None, gpus: str | None = None) -> None:
        """Take the options from the environment unless they are given."""
        self.runtime = os.environ.get("GRADER_DOCKER_RUNTIME", "") if runtime is None else runtime
        self.gpus = os.environ.get("GRADER_DOCKER_GPUS", "") if gpus is None else gpus
        self._client: Any = None
        self._images: dict[str, str] = {}
        self._near: bool | None = None

    def start(self, kind: Kind, limits: Limits) -> "DockerProcess":
        """Create, attach to and start a container; raises OurFault and leaves none behind."""
        self.check(kind)
        user = random.SystemRandom().choice(UIDS)
        expires = int(time.time() + _MARGIN_SECONDS + limits.import_seconds + 3 * limits.judging_seconds)
        labels = {OWNER: owner.me(), EXPIRES: str(expires)}
        channel = self._channel(user)
        config = self.config(kind, limits, user, labels)
        with _faults():
            if channel is None:
                return DockerProcess(self._client, kind, self._images[kind], config)
            config["host_config"]["Mounts"] = [_mount(channel.path)]
            try:
                return DockerProcess(self._client, kind, self._images[kind], config, channel)
            except _failures() as error:
                if channel.path not in str(error):
                    raise
                self._near = False  # the daemon's files are not ours
                del config["host_config"]["Mounts"]
                return DockerProcess(self._client, kind, self._images[kind], config)

    def preload(self, kind: Kind) -> None:  # noqa: ARG002 - alike for all
        """Import the SDK, if it is there."""
        with contextlib.suppress(ImportError):
            importlib.import_module("docker")  # 0.1 s
        seccomp.docker_profile()

    def check(self, kind: Kind) -> None:
        """Find the image of `kind`, and remove what earlier judges left; raises OurFault."""
        if kind in self._images:
            return
        self._connect()
        self._images[kind] = self._image(kind)
        with _faults():
            reap(self._client)

    def examine(self) -> list[Finding]:
        """Say whether the daemon answers, which images it has, and what it confines with."""
        try:
            self._connect()
        except OurFault as error:
            return [Finding("daemon", ok=False, seen=f"{error.what}: {error.cause}", remedy=error.hint)]
        with _faults():
            info = self._client.info()
        version, group = info.get("ServerVersion", "?"), info.get("CgroupVersion", "1")
        security = ", ".join(part.split(",")[0].removeprefix("name=") for part in info.get("SecurityOptions") or [])
        found = [Finding("daemon", ok=True, seen=f"Docker {version}, cgroup v{group}, {security or 'no seccomp'}")]
        if "seccomp" not in security:
            found.append(Finding("seccomp", ok=False, seen="the daemon has none", remedy="use a daemon with seccomp"))
        for kind in build.KINDS:
            try:
                digest = self._image(kind)
                found.append(Finding(f"image {kind}", ok=True, seen=digest[:19]))
            except OurFault as error:
                found.append(Finding(f"image {kind}", ok=False, seen=error.what, remedy=error.hint))
        runtimes = sorted(set(info.get("Runtimes") or {}) - {"io.containerd.runc.v2", "io.containerd.runtime.v1.linux"})
        way = "through the daemon, which is slow: it is elsewhere, or behind another process"
        if channels.is_near(os.environ.get("DOCKER_HOST", "")):
            way = "a socket of each container's own"
        found.append(Finding("channel", ok=True, seen=way))
        wanted = not self.runtime or self.runtime in runtimes
        remedy = "" if wanted else f"install the runtime {self.runtime}, or unset GRADER_DOCKER_RUNTIME"
        found.append(Finding("runtime", ok=wanted, seen=f"{self.runtime or 'default'} of {runtimes}", remedy=remedy))
        return found

    def close(self) -> None:
        """Close the connections to the daemon."""
        if self._client is not None:
            self._client.close()

    def _channel(self, user: int) -> channels.Channel | None:
        """Make a socket for a container, where daemon and judge share a machine."""
        if self._near is None:
            self._near = channels.is_near(os.environ.get("DOCKER_HOST", ""))
        if self._near:
            with contextlib.suppress(OSError):  # the temporary folder is full
                return channels.Channel(user)
        return None

    def _connect(self) -> None:
        if self._client is None:
            self._client = connect()

    def _image(self, kind: Kind) -> str:
        """Return the digest of the image that this grader needs."""
        name = build.image_name(kind)
        repository = name.partition(":")[0]
        with _faults():
            tags = [tag for image in self._client.images(repository) for tag in image["RepoTags"] or []]
            if name in tags:
                return str(self._client.inspect_image(name)["Id"])
        hint = f"grader sandbox build {kind}"
        others = [tag for tag in tags if tag.startswith(f"{repository}:{kind}-")]
        if others:
            cause = f"there is {', '.join(others)}; this grader needs {name}"
            raise OurFault("E4107", f"the sandbox image for {kind} is of another version", cause=cause, hint=hint)
        raise OurFault("E4106", f"the sandbox image for {kind} is missing", cause=f"no image {name}", hint=hint)

    def config(self, kind: Kind, limits: Limits, user: int, labels: dict[str, str]) -> dict[str, Any]:
        """Return everything that `POST /containers/create` is told but the image; guard.py admits nothing else."""
        return {
            "command": ["python3", "-I", "-S", "-B", "/sandbox/harness.py"],
            "user": f"{user}:{user}",
            "hostname": "s",
            "working_dir": "/tmp",  # noqa: S108 - the container's own
            "environment": {},
            "stdin_open": True,
            "tty": False,
            "network_disabled": True,
            "labels": labels,
            "host_config": self.host_config(kind, limits, user),
        }

    def host_config(self, kind: Kind, limits: Limits, user: int) -> dict[str, Any]:
        """Return the container's confinement; see docs/red-team.md for what each line is against."""
        memory = limits.memory_mib + cgroup.LIBRARIES_MIB[kind] + limits.scratch_mib << 20
        size = f"size={limits.scratch_mib}m,nr_inodes={limits.scratch_files},uid={user},gid={user},mode=700"
        scratch = f"rw,noexec,nosuid,nodev,{size}"
        none = {"core": 0, "msgqueue": 0, "rtprio": 0, "memlock": 0}
        some = {"nofile": 256, "fsize": min(_FILE_BYTES, limits.scratch_mib << 20)}
        config = {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", "seccomp=" + seccomp.docker_profile()],
            "Memory": memory,
            "MemorySwap": memory,  # memory and swap together: so there is no swap
            "OomScoreAdj": 500,
            "PidsLimit": limits.processes + 2,  # docker-init and the harness itself
            "CpuPeriod": PERIOD,
            "CpuQuota": round(limits.cores * PERIOD),
            "IpcMode": "none",
            "CgroupnsMode": "private",
            "Init": True,
            "Tmpfs": {"/tmp": scratch, "/dev/shm": scratch},  # noqa: S108 - the container's own
            "Ulimits": [{"Name": name, "Soft": n, "Hard": n} for name, n in {**none, **some}.items()],
            "LogConfig": {"Type": "none", "Config": {}},
            "MaskedPaths": _MASKED,
            "ReadonlyPaths": _READ_ONLY,
        }
        if self.runtime:
            config["Runtime"] = self.runtime
        if self.gpus:
            devices = {"Count": -1} if self.gpus == "all" else {"DeviceIDs": self.gpus.split(",")}
            config["DeviceRequests"] = [{"Driver": "nvidia", "Capabilities": [["compute", "utility"]], **devices}]
        return config


class Stream:
    """One of a container's outputs: the bytes in Docker's frames (eight bytes: stream, zeros, length)."""

    def __init__(self, descriptor: int) -> None:
        """Read from a socket's descriptor, which is never blocking."""
        self.descriptor = descriptor
        self._header = bytearray()
        self._left = 0

    def read(self, into: memoryview) -> int:
        """Read what is there; 0 at the end. Raises BlockingIOError."""
        while not self._left:
            part = os.read(self.descriptor, _FRAME.size - len(self._header))
            if not part:
                return 0
            self._header += part
            if len(self._header) == _FRAME.size:
                self._left = _FRAME.unpack(self._header)[1]
                self._header.clear()
        count = os.readv(self.descriptor, [into[: self._left]])
        self._left -= count
        return count


class DockerProcess:
    """A container that runs the harness, and two connections to it: requests and answers, prints.

    Requests and answers begin on streams that the daemon passes on, and change to the `channel`.
    """

    def __init__(
        self, client: Any, kind: Kind, image: str, config: dict[str, Any], channel: channels.Channel | None = None
    ) -> None:
        """Create, attach, start; attached first, so that nothing is missed. It removes the channel in the end."""
        self._client = client
        self._kind = kind
        self._channel = channel
        self._connection: socket.socket | None = None
        self._pidfd, self._peer = -1, 0
        with contextlib.ExitStack() as undo:
            if channel is not None:
                undo.callback(channel.remove)
            self._start(image, config)
            undo.pop_all()

    def _start(self, image: str, config: dict[str, Any]) -> None:
        self._result: Ended | None = None
        self._counter: Path | None = None
        self._harness = 0
        self._since = int(time.time()) - 1
        client = self._client
        created = client.create_container(image, use_config_proxy=False, **config)  # an address may hold a password
        self._id = str(created["Id"])
        try:
            _refuse_warnings(created.get("Warnings") or [])
            self.answers = _attach(client, self._id, stdin=1, stdout=1)
            self.prints = _attach(client, self._id, stderr=1)
            client.start(self._id)
        except BaseException:
            with contextlib.suppress(Exception):
                client.remove_container(self._id, force=True, v=True)
            raise
        self.requests = os.dup(self.answers)  # one socket both ways, waited on apart
        self._descriptors: tuple[int, ...] = (self.requests, self.answers, self.prints)
        for descriptor in self._descriptors:
            os.set_blocking(descriptor, False)
        self._answers, self._prints = Stream(self.answers), Stream(self.prints)
        self.confinement = {"image": image, "isolation": "container", "limits": "cgroup"}

    def settle(self) -> None:
        """Change to the channel if the harness has connected, which it does before it answers."""
        connection = self._channel.accept() if self._channel is not None else None
        if connection is None:
            return
        self._peer = channels.peer(connection)[0]
        with contextlib.suppress(OSError):
            self._pidfd = os.pidfd_open(self._peer)
        self._connection = connection
        os.close(self.requests)
        os.close(self.answers)
        self.answers = connection.fileno()
        self.requests = os.dup(self.answers)
        self._descriptors = (self.requests, self.prints)

    def read_answers(self, into: memoryview) -> int:
        """Read what is there; 0 at the end. Raises BlockingIOError."""
        if self._connection is None:
            return self._answers.read(into)
        try:
            return os.readv(self.answers, [into])  # bytes alone: descriptors that were sent along are dropped
        except ConnectionResetError:  # it hung up on a question
            return 0

    def read_prints(self) -> bytes:
        """Read what was printed; nothing at the end. Raises BlockingIOError."""
        room = bytearray(1 << 16)
        said = bytes(room[: self._prints.read(memoryview(room))])
        if not said and self._connection is not None:  # the container has ended, or the daemon that could end it
            self._connection.shutdown(socket.SHUT_RDWR)
        return said

    def ended(self) -> bool:
        """Tell whether the container has stopped; a daemon that does not answer has ended it."""
        if self._result is not None:
            return True
        if self._pidfd >= 0 and not select.select([self._pidfd], [], [], 0)[0]:
            return False
        limit = time.monotonic() + _STOP_SECONDS * (self._pidfd >= 0)  # the daemon hears of its end after us
        try:
            while running := self._state()["Running"]:
                if time.monotonic() >= limit:
                    break
                time.sleep(_PAUSE_SECONDS)
        except _failures():
            return True
        return not running

    def waited_seconds(self) -> float:
        """Return how long the harness waited for a core; 0 where its processes are out of sight."""
        self._look()
        return waited_seconds(self._harness) if self._harness else 0.0

    def _look(self) -> None:
        """Find the container's group and its harness, the child of docker-init, once."""
        if self._counter is None:
            self._counter = Path(os.devnull)
            with contextlib.suppress(*_failures()):
                first = self._state()["Pid"]
                if found := cgroup.counter_of(first, self._id):
                    self._counter, self._harness = found, child_of(first)

    def cpu_seconds(self) -> float:
        """Return the processor time of the control group; NaN where that is out of sight, as on another machine."""
        if self._result is not None:
            return float("nan")
        self._look()
        return cgroup.read_cpu(self._counter) if self._harness else float("nan")

    def spent(self) -> tuple[float, float] | None:
        """Read the control group, or ask the daemon; None where it does not answer, or the container has ended."""
        with contextlib.suppress(*_failures()):
            seen = self._usage(self._peer)
            return (seen.cpu_seconds, seen.peak_memory_mib) if seen.cpu_seconds else None
        return None

    def is_current(self) -> bool:
        """Tell whether the image still is the one that has the name; so not where the daemon does not answer."""
        with contextlib.suppress(*_failures()):
            image: str = self._client.inspect_image(build.image_name(self._kind))["Id"]
            return image == self.confinement["image"]
        return False

    def kill(self) -> Ended:
        """Kill and remove the container; where the daemon is gone, the next start removes it."""
        if self._result is None:
            try:
                self._result = self._end()
            except _failures():
                self._result = Ended("lost", 0, 0.0, 0.0)
                self._hang_up()
        return self._result

    def _end(self) -> Ended:
        state = self._state()
        usage = self._usage(state["Pid"]) if state["Running"] else cgroup.Usage(0.0, 0.0, 0)
        spent = (usage.cpu_seconds, usage.peak_memory_mib)
        self._hang_up()  # first: the daemon would wait until somebody had read all that was printed
        killed = state["ExitCode"] == _SIGNALS + _SIGKILL
        events = self._events() if killed and not state["Running"] else set()
        self._client.remove_container(self._id, force=True, v=True)
        if state["Running"]:
            return Ended("killed", 0, *spent)
        status = int(state["ExitCode"])
        if state["OOMKilled"] or "oom" in events:
            return Ended("memory", _SIGKILL, *spent)
        if "kill" in events:
            return Ended("lost", 0, *spent)
        if status > _SIGNALS:
            return Ended("signal", status - _SIGNALS, *spent)
        return Ended("exit", status, *spent)

    def _usage(self, pid: int) -> cgroup.Usage:
        """Read the control group; where it is out of sight, ask the daemon, which knows no peak in version 2."""
        seen = cgroup.usage_of(pid, self._id)
        if seen.cpu_seconds:
            return seen
        told = self._client.stats(self._id, stream=False, one_shot=True)
        cpu_seconds = told["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        return cgroup.Usage(cpu_seconds, told["memory_stats"].get("max_usage", 0) / (1 << 20), 0)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._client.inspect_container(self._id)["State"]
        return state

    def _hang_up(self) -> None:
        """Close the connections, once."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)
        if self._channel is not None:
            self._channel.remove()
        if self._connection is not None:
            self._connection.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _events(self) -> set[str]:
        """Return what the daemon says has happened to the container: `oom`, `kill` (by somebody else than us)."""
        filters = {"container": self._id, "event": ["oom", "kill"]}
        until = int(time.time()) + 1
        seen = self._client.events(since=self._since, until=until, filters=filters, decode=True)
        return {str(event["Action"]) for event in seen}


def _mount(path: str) -> dict[str, Any]:
    """Return the one mount there is: a socket, and nothing that could be written."""
    return {"Type": "bind", "Source": path, "Target": channels.TARGET, "ReadOnly": True}


def _refuse_warnings(warnings: list[str]) -> None:
    """Raise OurFault where the daemon says that it leaves out a limit; only swap may go uncounted."""
    if serious := [each for each in warnings if "swap" not in each.lower()]:
        hint = "mount the control groups memory, pids and cpu on the daemon's machine"
        raise OurFault("E4109", "Docker would not hold the sandbox to its limits", cause="; ".join(serious), hint=hint)


def _attach(client: Any, container: str, **streams: int) -> int:
    """Attach to some of a container's streams; returns a descriptor of our own."""
    connection = client.attach_socket(container, params={"stream": 1, **streams})
    descriptor = os.dup(connection.fileno())
    connection._response.close()  # noqa: SLF001 - the SDK's end, or it stays open until it is collected
    return descriptor


def connect() -> Any:
    """Return a client of the daemon; raises OurFault with the remedy."""
    try:
        import docker  # noqa: PLC0415 - 0.2 s, and only where this engine is used
    except ImportError as error:
        hint = 'pip install "grader[docker]"'
        raise OurFault("E4104", "Docker cannot be used", cause="the package docker is missing", hint=hint) from error
    with _faults():
        client = docker.APIClient(version="1.41", timeout=_CLIENT_SECONDS, **docker.utils.kwargs_from_env())
        try:
            client._version = client._retrieve_server_version()  # noqa: SLF001 - "auto", without losing the client
        except BaseException:
            client.close()
            raise
        return client


def reap(client: Any) -> list[str]:
    """Remove the containers whose judge has died or whose time is over; returns their ids."""
    removed = []
    for container in client.containers(all=True, filters={"label": OWNER}):
        labels = container["Labels"]
        if owner.is_alive(labels[OWNER]) is False or float(labels.get(EXPIRES, 0)) < time.time():
            with contextlib.suppress(*_failures()):  # another judge removes it at the same time
                client.remove_container(container["Id"], force=True, v=True)
                removed.append(str(container["Id"]))
    channels.remove_orphans()
    return removed


def _failures() -> tuple[type[Exception], ...]:
    import docker.errors  # noqa: PLC0415 - loaded by `connect`
    import requests  # noqa: PLC0415

    return docker.errors.DockerException, requests.exceptions.RequestException, OSError


@contextlib.contextmanager
def _faults() -> Any:
    """Turn what the SDK raises into an OurFault that says what to do."""
    try:
        yield
    except _failures() as error:
        raise fault(error) from error


def fault(error: Exception) -> OurFault:
    """Return the OurFault for an exception of the SDK."""
    text = str(getattr(error, "explanation", None) or error).strip()
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    whole = f"{text} {' '.join(map(str, chain))}"
    status = getattr(error, "response", None)
    if any(isinstance(each, PermissionError) for each in chain) or "Permission denied" in whole:
        hint = "add yourself to the group docker (sudo usermod -aG docker $USER) and log in again"
        return OurFault("E4105", "the Docker daemon does not let you in", cause=text, hint=hint)
    if f"Errno {errno.ENOSPC}" in whole or "no space left on device" in whole.lower():
        hint = "free some: docker system prune; then try again"
        return OurFault("E4108", "the Docker daemon's disk is full", cause=text, hint=hint)
    if status is not None:
        hint = "see `grader doctor`"
        if "seccomp" in whole:
            hint = "the kernel or runtime refuses the seccomp profile: use a newer Docker, or --engine bubblewrap"
        elif "runtime" in whole.lower():
            hint = "install the runtime named, or unset GRADER_DOCKER_RUNTIME"
        elif "device driver" in whole:
            hint = "install the NVIDIA container toolkit, or unset GRADER_DOCKER_GPUS"
        return OurFault("E4109", "Docker refused the sandbox", cause=text, hint=hint)
    hint = "start it (sudo systemctl start docker, or dockerd), or install docker.io"
    deepest = next((each for each in reversed(chain) if isinstance(each, OSError)), text)  # the rest names classes
    cause = f"{os.environ.get('DOCKER_HOST') or 'the local socket'}: {deepest}"
    return OurFault("E4104", "the Docker daemon cannot be reached", cause=cause, hint=hint)
