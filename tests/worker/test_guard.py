"""The guard of Docker's socket, on a real daemon: what the engine asks passes, all else is refused."""

import asyncio
import contextlib
import copy
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from docker.types import ContainerConfig

from grader import exercise as exercises
from grader import judge, owner
from grader.exercise import Limits
from grader.gpu import Gpu
from grader.verdict import Verdict
from worker import build, docker, guard
from worker.docker import EXPIRES, OWNER, DockerEngine

pytestmark = pytest.mark.usefixtures("sandbox_images")
SOFTMAX = exercises.load("softmax")
RIGHT = SOFTMAX.reference.read_bytes()
DOCKERS = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
ME = f"guard-test:{os.getpid()}"
BELOW = {"Type": "bind", "Source": "/", "Target": "/host"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Start a guard as compose.yaml does; return the path of its socket and of what it logs."""
    folder = tmp_path_factory.mktemp("guard")
    path, log = folder / "docker.sock", folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "worker.guard", path, DOCKERS], stderr=stderr)
    limit = time.monotonic() + 20
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.02)
    yield path, log
    process.terminate()
    assert process.wait(10) == 0


@pytest.fixture
def through(guarded, direct, monkeypatch):
    """Lead the engine of this test through the guard."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{guarded[0]}")


@pytest.fixture
def client(through):
    """Give a client whose requests go through the guard."""
    with contextlib.closing(docker.connect()) as found:
        yield found


@pytest.fixture
def direct():
    """Give a client of the daemon itself."""
    with contextlib.closing(docker.connect()) as found:
        yield found


@pytest.fixture
def body(direct):
    """Return what the engine asks to create, for a judging of its own."""
    labels = {OWNER: ME, EXPIRES: str(int(time.time()) + 60)}
    config = DockerEngine().config("numpy", Limits(), 61200, labels)
    image = direct.inspect_image(build.image_name("numpy"))["Id"]
    made = ContainerConfig("1.41", image, **config)
    return {name: value for name, value in made.items() if value is not None}


@pytest.fixture
def stranger(direct):
    """Return the id of a container that is no sandbox."""
    image = direct.inspect_image(build.image_name("numpy"))["Id"]
    container = direct.create_container(image, ["python3"], host_config={"NetworkMode": "none"})["Id"]
    yield container
    direct.remove_container(container, force=True)


def ask(path, method, target, body=None):
    """Send one request to a socket; return status and what was answered."""
    connection = http.client.HTTPConnection("docker", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        connection.request(method, target, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def send(path, content):
    """Send bytes; return all that comes back."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        with contextlib.suppress(ConnectionError):  # too much: it hangs up before all is read
            connection.sendall(content)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))
        return b""


def mine(direct, owned=ME):
    """List the ids of the containers with our label, which this test or a judging of it made."""
    return {each["Id"] for each in direct.containers(all=True, filters={"label": f"{OWNER}={owned}"})}


def test_a_judging_goes_through(through, guarded, direct):
    """A right file is accepted, one that eats memory hits its limit, as without the guard; nothing is left."""
    assert judge.judge(SOFTMAX, RIGHT, engine="docker").verdict is Verdict.ACCEPTED
    hungry = RIGHT + b"\n\ndef softmax(x, axis=-1):\n    return list(range(1 << 30))\n"
    assert judge.judge(SOFTMAX, hungry, engine="docker").verdict is Verdict.MEMORY_LIMIT_EXCEEDED
    assert "refused" not in guarded[1].read_text()
    assert mine(direct, owner.me()) == set()


def test_doctor_sees_the_engine_through_it(through):
    """`grader doctor` finds daemon, images and runtime, and starts a sandbox."""
    found = {finding.what: finding for finding in DockerEngine().examine()}
    assert found["daemon"].ok
    assert found["image numpy"].ok
    done = subprocess.run(
        [sys.executable, "-m", "grader", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    said = json.loads(done.stdout)
    assert [each for each in said["engines"]["docker"] if not each["ok"]] == []
    assert [each for each in said["faults"] if each["engine"] == "docker"] == []


def test_orphans_are_removed_through_it(client, direct, guarded, body):
    """The reaper of an engine finds and removes a sandbox whose time is over, and no other container."""
    body["Labels"][EXPIRES] = str(int(time.time()) + 1)
    status, said = ask(guarded[0], "POST", "/v1.41/containers/create", body)
    assert status == 201, said
    time.sleep(1.1)
    docker.reap(client)  # another judging's engine may have been quicker
    assert json.loads(said)["Id"] not in mine(direct)


@pytest.mark.parametrize(
    "change",
    [
        {"Binds": ["/:/host"]},
        {"Mounts": [BELOW]},
        {"Mounts": [docker._mount("/tmp/grader-docker_/s")]},
        {"VolumesFrom": ["another"]},
        {"Privileged": True},
        {"CapAdd": ["SYS_ADMIN"]},
        {"CapDrop": []},
        {"CapDrop": None},
        {"PidMode": "host"},
        {"IpcMode": "host"},
        {"UTSMode": "host"},
        {"UsernsMode": "host"},
        {"CgroupnsMode": "host"},
        {"CgroupParent": "/"},
        {"NetworkMode": "bridge"},
        {"NetworkMode": "host"},
        {"NetworkMode": "container:postgres"},
        {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        {"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]},
        {"DeviceCgroupRules": ["a *:* rwm"]},
        {"DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["compute", "utility"]]}]},
        {"Runtime": "runsc"},
        {"Runtime": "io.containerd.runc.v2"},
        {"SecurityOpt": []},
        {"SecurityOpt": ["no-new-privileges:true"]},
        {"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"]},
        {"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined", "apparmor=unconfined"]},
        {"ReadonlyRootfs": False},
        {"Memory": 0, "MemorySwap": 0},
        {"Memory": 1 << 60, "MemorySwap": 1 << 60},
        {"MemorySwap": -1},
        {"PidsLimit": -1},
        {"PidsLimit": 1 << 20},
        {"CpuQuota": -1},
        {"CpuQuota": 1 << 40},
        {"OomScoreAdj": -1000},
        {"OomKillDisable": True},
        {"Init": False},
        {"Tmpfs": {}},
        {"Tmpfs": {"/tmp": "rw,exec,size=64m,nr_inodes=4096,uid=61200,gid=61200,mode=700"}},
        {"Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=9999m,nr_inodes=4096,uid=61200,gid=61200,mode=700"}},
        {"Ulimits": []},
        {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://example.org:1"}}},
        {"MaskedPaths": []},
        {"ReadonlyPaths": []},
        {"Sysctls": {"kernel.core_pattern": "|/tmp/x"}},
        {"GroupAdd": ["0"]},
        {"RestartPolicy": {"Name": "always"}},
        {"AutoRemove": True},
        {"ExtraHosts": ["a:1.2.3.4"]},
        {"StorageOpt": {"size": "1G"}},
        {"Surprise": 1},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_a_weaker_confinement_is_refused(guarded, direct, body, change):
    """Whatever differs from what the engine would ask, weaker or unheard of, makes no container."""
    changed = copy.deepcopy(body)
    changed["HostConfig"] |= change
    status, said = ask(guarded[0], "POST", "/v1.41/containers/create", changed)
    assert (status, "guard" in said) == (403, True), said
    assert mine(direct) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"Image": "debian"},
        {"Image": "grader-sandbox:numpy-latest"},
        {"Image": None},
        {"Image": ["sha256"]},
        {"User": "0:0"},
        {"User": "61200:0"},
        {"User": ""},
        {"Cmd": ["sh"]},
        {"Entrypoint": ["sh"]},
        {"Env": ["LD_PRELOAD=/tmp/x"]},
        {"WorkingDir": "/"},
        {"Hostname": "postgres"},
        {"Volumes": {"/var": {}}},
        {"NetworkDisabled": False},
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}},
        {"Tty": True},
        {"Healthcheck": {"Test": ["CMD", "sh"]}},
        {"Labels": {}},
        {"Labels": None},
        {"Labels": {OWNER: "a"}},
        {"Labels": {OWNER: "a", EXPIRES: "99999999999"}},
        {"Labels": {OWNER: "a", EXPIRES: "1"}},
        {"Labels": {OWNER: "a\nb", EXPIRES: "9" * 5000}},
        {"HostConfig": None},
        {"HostConfig": []},
        {"hostconfig": {"Privileged": True}},
        {"Surprise": 1},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_another_container_is_refused(guarded, direct, body, change):
    """Another image, user, program, label or field makes no container."""
    status, said = ask(guarded[0], "POST", "/v1.41/containers/create", body | change)
    assert (status, "guard" in said) == (403, True), said
    assert mine(direct) == set()


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"[" * 50_000, b"{", b"\xff", b'"x"', b"{}"])
def test_a_body_that_is_none_is_refused(guarded, content):
    """What is no object with the fields of a sandbox is refused, and the guard lives on."""
    head = f"POST /containers/create HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    assert send(guarded[0], head + content).startswith(b"HTTP/1.1 403 ")
    assert ask(guarded[0], "GET", "/version")[0] == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/build"),
        ("POST", "/images/create?fromImage=debian"),
        ("POST", "/images/load"),
        ("POST", "/images/debian/tag?repo=grader-sandbox"),
        ("DELETE", "/images/debian"),
        ("GET", "/images/json"),
        ("GET", "/images/debian/json"),
        ("GET", "/images/grader-sandbox:x/get"),
        ("POST", "/containers/create?name=postgres"),
        ("POST", "/containers/create?platform=linux/arm64"),
        ("GET", "/containers/json?all=1"),
        ("POST", "/containers/prune"),
        ("GET", "/volumes"),
        ("POST", "/volumes/create"),
        ("GET", "/networks"),
        ("POST", "/networks/create"),
        ("POST", "/swarm/init"),
        ("GET", "/secrets"),
        ("POST", "/plugins/pull"),
        ("POST", "/exec/0/start"),
        ("GET", "/events"),
        ("GET", "/system/df"),
        ("POST", "/session"),
        ("POST", "/grpc"),
        ("GET", "/containers/../images/json"),
        ("GET", "/version?x=1"),
        ("TRACE", "/version"),
    ],
)
def test_no_other_call_is_let_through(guarded, method, target):
    """Building, pulling, volumes, networks, swarm, lists of others' containers: refused."""
    assert ask(guarded[0], method, f"/v1.41{target}")[0] == 403
    assert ask(guarded[0], method, target)[0] == 403


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "json"),
        ("POST", "start"),
        ("POST", "attach?stream=1&stdin=1&stdout=1"),
        ("POST", "exec"),
        ("POST", "kill"),
        ("POST", "update"),
        ("PUT", "archive?path=/"),
        ("GET", "archive?path=/etc/shadow"),
        ("GET", "logs?stdout=1"),
        ("GET", "top"),
        ("DELETE", "?v=True&link=False&force=True"),
    ],
)
def test_no_other_container_is_touched(guarded, direct, stranger, method, target):
    """A container without our label can be neither seen nor attached to, started nor removed."""
    path = f"/v1.41/containers/{stranger}/{target}".replace("/?", "?")
    assert ask(guarded[0], method, path)[0] == 403
    assert direct.inspect_container(stranger)["State"]["Status"] == "created"


def test_a_second_request_on_a_connection_is_not_passed_on(guarded, direct, body):
    """Bytes after a request, where Docker answers without changing to a raw stream, never reach it."""
    evil = json.dumps({"Image": body["Image"], "HostConfig": {"Privileged": True}}).encode()
    second = b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    second += b"Content-Length: %d\r\n\r\n" % len(evil) + evil
    status, said = ask(guarded[0], "POST", "/containers/create", body)
    assert status == 201
    ours = json.loads(said)["Id"]
    try:
        for first in (
            b"GET /version HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",
            f"POST /containers/{ours}/attach?stream=1 HTTP/1.1\r\n\r\n".encode(),  # 400: no stream is named
            f"POST /containers/{ours}/start HTTP/1.1\r\nConnection: Upgrade\r\n\r\n".encode(),
        ):
            assert send(guarded[0], first + second).count(b"HTTP/1.1 ") == 1
        assert mine(direct) == {ours}
    finally:
        direct.remove_container(ours, force=True)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 999999\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /version HTTP/1.0\r\n\r\n",
        b"GET http://docker/version HTTP/1.1\r\n\r\n",
        b"GET /%76ersion HTTP/1.1\r\n\r\n",
        b"GET /version\r\nX: HTTP/1.1\r\n\r\n",
        b"GET /ver\xe9 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"x" * 600_000,
    ],
)
def test_what_is_written_otherwise_is_refused(guarded, head):
    """No second spelling of a request that guard and daemon could read differently."""
    assert re.match(rb"HTTP/1.1 (403|502) |$", send(guarded[0], head))


def test_the_number_of_sandboxes_is_bounded(body, monkeypatch, direct):
    """Whoever took over a worker cannot fill the machine with containers."""
    call = guard.Call("POST", "/containers/create", {}, json.dumps(body).encode())
    content = send(DOCKERS, asyncio.run(guard.Guard(DOCKERS)._admit(call)))
    made = json.loads(content.partition(b"\r\n\r\n")[2])["Id"]
    try:
        monkeypatch.setattr(guard, "_MOST_CONTAINERS", 1)
        with pytest.raises(guard.Refused, match="1 sandboxes"):
            asyncio.run(guard.Guard(DOCKERS)._admit(call))
    finally:
        direct.remove_container(made, force=True)


def test_refusals_are_logged(guarded):
    """Each refusal is a line for the operator: an engine that is what it should be never causes one."""
    assert ask(guarded[0], "POST", "/v1.41/build")[0] == 403
    assert "refused: POST /build" in Path(guarded[1]).read_text()


def test_gpus_pass_only_where_the_guard_has_them(monkeypatch, body):
    """One GPU at a time that the guard's own setting allows; a /tmp to execute from only beside one."""

    def wanted(gpu, *, compiles=False, **changes):
        engine = DockerEngine()
        engine.gpu = Gpu(gpu, gpu, "", "", 0) if gpu else None
        engine.compiles = compiles
        config = engine.config("torch", Limits(), 61200, {OWNER: "a", EXPIRES: str(int(time.time()) + 60)})
        if changes:
            config["host_config"]["DeviceRequests"][0] |= changes
        return {k: v for k, v in ContainerConfig("1.41", body["Image"], **config).items() if v is not None}

    for allowed, passes in (("GPU-1", True), ("GPU-0,GPU-1", True), ("all", True), ("GPU-2", False), ("", False)):
        monkeypatch.setenv("GRADER_DOCKER_GPUS", allowed)
        with contextlib.nullcontext() if passes else pytest.raises(guard.Refused, match="DeviceRequests"):
            for compiles in (False, True):
                assert guard.checked(wanted("GPU-1", compiles=compiles), "torch") == wanted("GPU-1", compiles=compiles)
    monkeypatch.setenv("GRADER_DOCKER_GPUS", "all")
    for bad in (
        wanted("GPU-1", DeviceIDs=["GPU-1", "GPU-2"]),
        wanted("GPU-1", DeviceIDs=["all"]),
        wanted("GPU-1", Count=-1),
        wanted("GPU-1", Capabilities=[["compute", "graphics"]]),
        wanted("", compiles=True),
    ):
        with pytest.raises(guard.Refused):
            guard.checked(bad, "torch")


def test_limits_of_every_exercise_pass(body):
    """What any exercise of this repository may spend, and awkward fractions of a core, come through unchanged."""
    every = [exercises.load(name).limits for name in exercises.names()]
    every += [Limits(cores=n / 100) for n in range(1, 201)]
    for limits in every:
        labels = {OWNER: "a", EXPIRES: str(int(time.time()) + 60)}
        config = DockerEngine().config("torch", limits, 61200, labels)
        wanted = {k: v for k, v in ContainerConfig("1.41", body["Image"], **config).items() if v is not None}
        assert guard.checked(wanted, "torch") == wanted
