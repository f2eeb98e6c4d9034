"""The one process that holds Docker's socket: it lets through what `worker.docker` asks, to the word, and nothing else.

Whoever can talk to Docker's socket owns the machine: one request starts a container that mounts its disk. A worker has
all of the judge in it, so it is given the socket of this guard instead, by DOCKER_HOST. No request is passed on as it
came: each is parsed, compared with what the engine `docker` would ask of the same limits, and written anew on a
connection of its own. Containers can be made from this grader's sandbox images only, confined as `host_config` says;
attached to, looked at and removed only where they bear its label. Images, volumes, networks, exec, build: refused.

    python3 -m worker.guard SOCKET [DOCKERS_SOCKET]

GRADER_DOCKER_RUNTIME and GRADER_DOCKER_GPUS, set here too, are what containers may ask for: of GPUs one at a time.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from docker.types import ContainerConfig

from grader.exercise import Limits
from grader.gpu import Gpu
from worker import build, cgroup, docker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grader.engine import Kind

_DOCKERS = "/var/run/docker.sock"
_BODY_BYTES = 1 << 17
_PART_BYTES = 1 << 18
"""The most that is read at once, a request's head too."""
_SECONDS = 30.0
"""How long a request may take to arrive, and the daemon to answer a question of ours."""
_MOST_CONTAINERS = 128
_REMEMBERED = 1000
_MOST_MEMORY = 16 << 30
_MOST_PROCESSES, _MOST_CORES = 1024, 64
_MOST_SCRATCH_MIB, _MOST_SCRATCH_FILES = 1024, 1 << 20
_MOST_SECONDS = 4 * 3600
_API = "1.41"
_ID = r"(?P<id>[0-9a-f]{64})"
_SCRATCH = re.compile(r"size=(\d{1,4})m,nr_inodes=(\d{1,7}),")
_GPU = re.compile(r"(GPU|MIG)-[\w/.-]{1,80}")
_OWNER = re.compile(r"[\w.:-]{1,200}")
log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - what happened
    """The request is none of the engine's; the text says why."""


@dataclass(frozen=True)
class Call:
    """One request, as it was parsed."""

    method: str
    path: str
    """Without the API's version."""
    query: dict[str, str]
    body: bytes


class Guard:
    """Admits requests, and remembers which containers are ours."""

    def __init__(self, dockers: str = _DOCKERS) -> None:
        """`dockers` is the path of Docker's own socket."""
        self._dockers = dockers
        self._ours: set[str] = set()
        self._kinds: dict[str, Kind] = {}
        self._calls: list[tuple[str, re.Pattern[str], Callable[..., Awaitable[tuple[dict[str, Any], bytes]]]]] = [
            ("GET", re.compile("/(version|info)"), self._plain),
            ("GET", re.compile("/images/json"), self._images),
            ("GET", re.compile(r"/images/grader-sandbox:[\w.-]+/json"), self._plain),
            ("GET", re.compile("/containers/json"), self._containers),
            ("GET", re.compile("/events"), self._events),
            ("POST", re.compile("/containers/create"), self._create),
            ("POST", re.compile(f"/containers/{_ID}/attach"), self._attach),
            ("POST", re.compile(f"/containers/{_ID}/start"), self._plain),
            ("GET", re.compile(f"/containers/{_ID}/json"), self._plain),
            ("GET", re.compile(f"/containers/{_ID}/stats"), self._stats),
            ("DELETE", re.compile(f"/containers/{_ID}"), self._remove),
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection: one request, refused or passed on."""
        try:
            async with asyncio.timeout(_SECONDS):
                call = await _read(reader)
                request = await self._admit(call)
            await self._pass_on(request, call, reader, writer)
        except Refused as refused:
            log.warning("refused: %s", refused)
            writer.write(_answer("403 Forbidden", f"the guard of Docker's socket refuses this: {refused}"))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            with contextlib.suppress(OSError):
                writer.write(
                    _answer("502 Bad Gateway", f"the guard of Docker's socket: {type(error).__name__} {error}")
                )
        finally:
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

    async def _admit(self, call: Call) -> bytes:
        """Return the request that goes to Docker. Raises Refused."""
        for method, path, check in self._calls:
            found = path.fullmatch(call.path) if method == call.method else None
            if found is None:
                continue
            container = found.groupdict().get("id")
            if container and not await self._is_ours(container):
                raise Refused(f"{call.method} {call.path}: it is no sandbox")
            query, body = await check(call)
            how = "Connection: Upgrade\r\nUpgrade: tcp" if check == self._attach else "Connection: close"
            target = f"/v{_API}{call.path}" + (f"?{urlencode(query)}" if query else "")
            head = f"{method} {target} HTTP/1.1\r\nHost: docker\r\n{how}\r\n"
            if method == "POST":
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            return f"{head}\r\n".encode() + body
        raise Refused(f"{call.method} {call.path} is nothing that a sandbox needs")

    async def _plain(self, call: Call) -> tuple[dict[str, Any], bytes]:
        _only(call.query, {})
        return {}, b""

    async def _images(self, call: Call) -> tuple[dict[str, Any], bytes]:
        query = {"only_ids": "0", "all": "0", "filters": _filters(reference=["grader-sandbox"])}
        return _only(call.query, query), b""

    async def _containers(self, call: Call) -> tuple[dict[str, Any], bytes]:
        query = {"limit": "-1", "all": "1", "size": "0", "trunc_cmd": "0", "filters": _filters(label=[docker.OWNER])}
        return _only(call.query, query), b""

    async def _events(self, call: Call) -> tuple[dict[str, Any], bytes]:
        asked = call.query.get("filters", "")
        container = re.search(_ID, asked)
        if container is None or not await self._is_ours(container[0]):
            raise Refused("events of something else than a sandbox")
        times = {name: call.query.get(name, "") for name in ("since", "until")}
        if not all(re.fullmatch(r"\d{1,12}", each) for each in times.values()):
            raise Refused("events without an end")
        return _only(call.query, times | {"filters": _filters(container=[container[0]], event=["oom", "kill"])}), b""

    async def _attach(self, call: Call) -> tuple[dict[str, Any], bytes]:
        if call.query.keys() - {"stream", "stdin", "stdout", "stderr"} or set(call.query.values()) != {"1"}:
            raise Refused(f"attach with {call.query}")
        return call.query, b""

    async def _stats(self, call: Call) -> tuple[dict[str, Any], bytes]:
        return _only(call.query, {"stream": "False", "one-shot": "True"}), b""

    async def _remove(self, call: Call) -> tuple[dict[str, Any], bytes]:
        return _only(call.query, {"v": "True", "link": "False", "force": "True"}), b""

    async def _create(self, call: Call) -> tuple[dict[str, Any], bytes]:
        _only(call.query, {})
        try:
            body = json.loads(call.body)
        except (ValueError, RecursionError) as error:
            raise Refused(f"create: {error}") from error
        ours = urlencode({"all": 1, "filters": _filters(label=[docker.OWNER])})
        if len(await self._ask(f"/containers/json?{ours}")) >= _MOST_CONTAINERS:
            raise Refused(f"create: there are {_MOST_CONTAINERS} sandboxes already")
        image = body.get("Image") if isinstance(body, dict) else None
        if not isinstance(image, str) or not await self._is_sandbox(image):
            raise Refused(f"create: {image!r} is not the image of a sandbox")
        return {}, json.dumps(checked(body, self._kinds[image])).encode()

    async def _is_sandbox(self, image: str) -> bool:
        if image not in self._kinds:  # built while we run, perhaps
            names = {kind: f"/images/{build.image_name(kind)}/json" for kind in build.KINDS}
            found = {kind: await self._ask(path) for kind, path in names.items()}
            self._kinds = {str(known["Id"]): kind for kind, known in found.items() if known}
        return image in self._kinds

    async def _is_ours(self, container: str) -> bool:
        if container not in self._ours:
            found = await self._ask(f"/containers/{container}/json")
            if found is None or docker.OWNER not in (found["Config"]["Labels"] or {}):
                return False
            if len(self._ours) >= _REMEMBERED:
                self._ours.clear()
            self._ours.add(container)
        return True

    async def _ask(self, path: str) -> Any:
        """Ask the daemon; None where it knows of nothing."""
        reader, writer = await asyncio.open_unix_connection(self._dockers)
        try:
            # Version 1.0: the answer is in one piece, and ends with the connection.
            writer.write(f"GET /v{_API}{path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return json.loads(body) if head.split(b" ", 2)[1] == b"200" else None

    async def _pass_on(
        self, request: bytes, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send an admitted request and give back what comes; both ways only once Docker has changed to a raw stream."""
        answers, requests = await asyncio.open_unix_connection(self._dockers, limit=_PART_BYTES)
        try:
            requests.write(request)
            head = await answers.readuntil(b"\r\n\r\n")
            writer.write(head)
            raw = head.startswith(b"HTTP/1.1 101 ")
            # Not raw: what a client sends on is dropped, or Docker might take it for another request.
            up = asyncio.create_task(_copy(reader, requests if raw else None))
            down = asyncio.create_task(_copy(answers, writer))
            try:
                await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (up, down):
                    task.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
        finally:
            requests.close()
        if call.method == "DELETE":
            self._ours.discard(call.path.rpartition("/")[2])


def checked(body: dict[str, Any], kind: "Kind") -> dict[str, Any]:
    """Return what the engine would ask to create with the limits that stand in `body`. Raises Refused if that differs.

    Only user, limits and labels are read from the request; all else is the engine's own, and must be the same.
    """
    try:
        host, labels = body["HostConfig"], body["Labels"]
        tmpfs = host["Tmpfs"]["/tmp"]  # noqa: S108 - the container's own
        scratch, files = map(int, _SCRATCH.search(tmpfs).groups())  # type: ignore[union-attr]
        engine = docker.DockerEngine()
        engine.gpu, engine.compiles = _gpu(host), tmpfs.startswith("rw,exec,")
        cuda = engine.gpu is not None
        limits = Limits(
            memory_mib=(host["Memory"] >> 20) - cgroup.LIBRARIES_MIB[kind] - scratch - cuda * cgroup.CUDA_MIB,
            processes=host["PidsLimit"] - 2 - cuda * cgroup.CUDA_PROCESSES,
            cores=host["CpuQuota"] / docker.PERIOD,
            scratch_mib=scratch,
            scratch_files=files,
        )
        user = int(body["User"].partition(":")[0])
        left = int(labels[docker.EXPIRES]) - time.time()
        within = (
            0 < host["Memory"] <= _MOST_MEMORY,
            0 < limits.processes <= _MOST_PROCESSES,
            0 < limits.cores <= _MOST_CORES,
            0 < scratch <= _MOST_SCRATCH_MIB,
            0 < files <= _MOST_SCRATCH_FILES,
            0 < left <= _MOST_SECONDS,
            user in docker.UIDS,
            labels.keys() == {docker.OWNER, docker.EXPIRES},
            _OWNER.fullmatch(labels[docker.OWNER]),
            cuda or not engine.compiles,
        )
        made = ContainerConfig(_API, body["Image"], **engine.config(kind, limits, user, labels))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"create: {type(error).__name__} at {error}") from error
    if not all(within):
        raise Refused(f"create: beyond all limits, {within}")
    wanted = {name: value for name, value in made.items() if value is not None}
    if body != wanted:
        raise Refused(f"create: not what a sandbox is, see {', '.join(_differences(body, wanted))}")
    return wanted


def _gpu(host: dict[str, Any]) -> Gpu | None:
    """Return the one GPU that is asked for, if any; the engine's own request is built from its id. Raises Refused."""
    if not host.get("DeviceRequests"):
        return None
    allowed = os.environ.get("GRADER_DOCKER_GPUS", "").split(",")
    (request,) = host["DeviceRequests"]
    (wanted,) = request["DeviceIDs"]
    if not _GPU.fullmatch(wanted) or not {wanted, "all"} & set(allowed):
        raise Refused(f"create: DeviceRequests for {wanted!r}, where GRADER_DOCKER_GPUS is {','.join(allowed)!r}")
    return Gpu(wanted, wanted, "", "", 0)


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    pairs = [(one, other), (one["HostConfig"], other["HostConfig"])]
    return sorted({repr(key) for a, b in pairs for key in a.keys() | b.keys() if a.get(key) != b.get(key)})


def _only(query: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    if query != wanted:
        raise Refused(f"query {query}")
    return wanted


def _filters(**filters: list[str]) -> str:
    return json.dumps(filters)  # spelled as the SDK does


async def _read(reader: asyncio.StreamReader) -> Call:
    """Read one request. Raises Refused, EOFError, ValueError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    first, *lines = head[:-4].split("\r\n")
    found = re.fullmatch(r"([A-Z]+) (?:/v1\.\d{1,3})?(/[\w./:-]*)(?:\?(\S*))? HTTP/1\.1", first)
    headers = [line.partition(":") for line in lines]
    names = [name.lower() for name, _, _ in headers]
    if found is None or "transfer-encoding" in names or names.count("content-length") > 1:
        raise Refused(f"{first!r} is written as the engine never does")
    length = next((value.strip() for name, _, value in headers if name.lower() == "content-length"), "0")
    if not re.fullmatch(r"\d{1,6}", length) or int(length) > _BODY_BYTES:
        raise Refused(f"a body of {length} bytes")
    pairs = parse_qsl(found[3] or "", keep_blank_values=True, strict_parsing=bool(found[3]))
    return Call(found[1], found[2], dict(pairs), await reader.readexactly(int(length)))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None) -> None:
    """Copy until either end is gone; without a writer only see when the reader's is."""
    with contextlib.suppress(OSError):
        while part := await reader.read(_PART_BYTES):
            if writer is not None:
                writer.write(part)
                await writer.drain()


def _answer(status: str, message: str) -> bytes:
    body = json.dumps({"message": message}).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n".encode() + body


async def main(listen: str, dockers: str = _DOCKERS) -> None:
    """Listen at a path, open to our group, until SIGTERM."""
    os.umask(0o117)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_unix_server(Guard(dockers).serve, listen, limit=_PART_BYTES)
    log.warning("guarding %s at %s", dockers, listen)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    asyncio.run(main(*sys.argv[1:]))
