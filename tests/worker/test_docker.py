"""The engine docker, on a real daemon: what a container may do, how its death is told, what is left of it."""

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from grader import exercise as exercises
from grader import judge, owner
from grader.errors import OurFault
from grader.exercise import Limits
from grader.gpu import Gpu
from grader.sandbox import Broken
from grader.verdict import Verdict
from worker import build, channel, docker, seccomp
from worker.docker import DockerEngine

pytestmark = pytest.mark.usefixtures("sandbox_images")
SOFTMAX = exercises.load("softmax")
RIGHT = SOFTMAX.reference.read_bytes()
SLOW = (
    RIGHT
    + b"""
import time
fast = softmax


def softmax(x, axis=-1):
    time.sleep(0.02)
    return fast(x, axis)
"""
)


@pytest.fixture
def client():
    """Give a client of the daemon."""
    with contextlib.closing(docker.connect()) as found:
        yield found


@pytest.fixture
def engine():
    """Make engines, whose connections are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(contextlib.closing(DockerEngine(**options)))


@pytest.fixture
def leaky():
    """Collect what the SDK leaves open when it cannot connect, before another test is blamed for it."""
    yield
    gc.collect()


LEAKS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def mine(client):
    """List this test process's containers."""
    return [each for each in client.containers(all=True) if each["Labels"].get(docker.OWNER) == owner.me()]


def test_the_container_is_confined(inside, client, engine):
    """Nobody's uid, no capability, no new privilege, a filter, no network, a read-only root; of the host, a socket."""
    ask = inside(engine())
    status = ask("status")
    assert int(status["Uid"].split()[0]) in docker.UIDS
    assert status["Uid"].split() == status["Gid"].split()
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert ask("attempt", "sorted(os.listdir('/proc/self/fd'))") == "['0', '1', '2', '3', '4', '5']"
    assert ask("attempt", "os.environ.keys() - {'PATH', 'HOSTNAME', 'HOME', 'LC_CTYPE'}").startswith("{")
    environment = ask("see", "/proc/1/environ")
    assert environment in ("EACCES", "EPERM") or "HOSTNAME=s" in environment
    interfaces = [line.split(":")[0].strip() for line in ask("see", "/proc/net/dev").splitlines()[2:]]
    assert interfaces == ["lo"]
    assert ask("attempt", "os.uname().nodename") == "'s'"
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname"):
        assert ask("see", path) in ("", "ENOENT")
    assert ask("attempt", "open('/sandbox/x', 'w')") in ("EROFS", "EACCES")
    assert ask("attempt", "open('/proc/sys/kernel/hostname', 'w')") in ("EROFS", "EACCES")
    assert ask("attempt", "os.listdir('/sys/fs')") == "[]"
    assert {line.split()[1] for line in ask("see", "/proc/mounts").splitlines() if " rw," in line} <= {
        "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/tmp", "/dev/shm", "/sys/fs/cgroup", *docker._MASKED
    }  # fmt: skip
    (container,) = mine(client)
    (mount,) = container["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("bind", channel.TARGET, False)


@pytest.mark.parametrize("path", ["/tmp", "/dev/shm"])
def test_scratch_space_is_bounded(inside, path, engine):
    """Bytes and files of what can be written stop at the exercise's limits."""
    ask = inside(engine())
    ask("run", f"for i in range(10):\n    open('{path}/%d' % i, 'wb').close()")
    assert ask("attempt", f"open('{path}/big', 'wb').write(bytes(9 << 20))") in ("ENOSPC", "EFBIG")
    assert ask("attempt", f"[open('{path}/f%d' % i, 'wb').close() for i in range(300)]") == "ENOSPC"


def test_processes_are_bounded(inside, engine):
    """Forks and threads stop at the limit, whoever counts them."""
    ask = inside(engine())
    assert ask("attempt", "[os.fork() or time.sleep(60) for _ in range(60)]") == "EAGAIN"


def test_cores_are_bounded(inside, engine):
    """Two busy threads' worth of processes get one core's worth of time."""
    ask = inside(engine(), Limits(processes=24, cores=0.5, call_seconds=10.0))
    code = "end = time.monotonic() + 2\nwhile time.monotonic() < end: pass"
    ask("run", code)
    assert ask.sandbox.close().cpu_seconds < 2.0


@pytest.mark.parametrize(
    ("code", "cause", "number"),
    [
        ("os._exit(7)", "exit", 7),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal", 11),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal", 9),
        ("m = mmap.mmap(-1, 600 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1", "memory", 9),
    ],
)
def test_deaths_are_told_apart(inside, client, code, cause, number, engine):
    """An exit, a signal of its own, and the kernel's out-of-memory killer by its own counter."""
    ask = inside(engine())
    with pytest.raises(Broken):
        ask("run", code)
    ended = ask.sandbox.close()
    assert (ended.cause, ended.number) == (cause, number)
    assert mine(client) == []


def test_a_deadline_kills_the_container(inside, client, engine):
    """A call that never returns is ended by the judge, and is told as killed."""
    ask = inside(engine())
    with pytest.raises(Broken) as broken:
        ask("run", "time.sleep(60)", seconds=0.5)
    assert broken.value.verdict is Verdict.TIME_LIMIT_EXCEEDED
    assert ask.sandbox.close().cause == "killed"
    assert mine(client) == []


def test_a_container_killed_from_outside_is_not_the_submissions_doing(inside, client, engine):
    """`docker kill` during a call: nothing follows for the submission."""
    ask = inside(engine())
    (container,) = mine(client)
    killer = subprocess.Popen(["sh", "-c", f"sleep 1; docker kill {container['Id']}"], stdout=subprocess.DEVNULL)
    with pytest.raises(Broken) as broken:
        ask("run", "time.sleep(60)")
    killer.wait()
    assert broken.value.verdict is Verdict.INTERNAL_ERROR
    assert ask.sandbox.close().cause == "lost"


def test_a_judging_whose_container_is_killed_is_judged_again(client):
    """The verdict is that of the second container, and both are gone."""
    process = judge.start(SOFTMAX, engine="docker")
    process.started()
    killed: list[str] = []

    def kill(text):
        if text.startswith("test 2 ") and not killed:
            ids = [c["Id"] for c in client.containers() if f":{process._pid}:" in c["Labels"].get(docker.OWNER, "")]
            killed.extend(ids)
            for each in ids:
                client.kill(each)

    try:
        report = process.run(SLOW, seed=judge.new_seed(), on_phase=kill)
    finally:
        process.close()
    assert len(killed) == 1
    assert report.verdict is Verdict.ACCEPTED
    assert not [c for c in client.containers(all=True) if c["Id"] in killed]


def test_the_next_start_removes_what_a_killed_judge_left(client, engine):
    """SIGKILL for the judge leaves a container; the next check of the engine finds its owner dead and removes it."""
    process = judge.start(SOFTMAX, engine="docker")
    process.started()
    name = next(c["Id"] for c in client.containers() if f":{process._pid}:" in c["Labels"].get(docker.OWNER, ""))
    os.kill(process._pid, signal.SIGKILL)
    process.close()
    engine().check("numpy")
    limit = time.monotonic() + 60  # another test's engine may be at it, and then ours leaves it to that one
    while name in [c["Id"] for c in client.containers(all=True)]:
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_the_reaper_spares_the_living_and_takes_the_expired(inside, client, monkeypatch, engine):
    """A live judge's container stays until its time is over, whoever its owner is."""
    ask = inside(engine())
    (container,) = mine(client)
    docker.reap(client)
    assert len(mine(client)) == 1
    # Only ours: the time would be over for the containers of tests beside this one, too.
    ours = SimpleNamespace(containers=lambda **_: mine(client), remove_container=client.remove_container)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + 10_000)
    assert docker.reap(ours) == [container["Id"]]
    monkeypatch.undo()
    with pytest.raises(Broken) as broken:
        ask("status")
    assert broken.value.verdict is Verdict.INTERNAL_ERROR


def test_large_answers_come_whole(inside, engine):
    """Docker's frames are taken off however they are cut."""
    ask = inside(engine(), Limits(memory_mib=256, call_seconds=20.0))
    assert ask("attempt", "'x' * 60000")[1:-1] == "x" * 60000
    ask("run", "import numpy as np\ndef big(n): return np.arange(n)")
    assert ask("big", 4_000_001).sum() == 4_000_001 * 4_000_000 // 2


# --- the channel


def folders(process=None):
    """List the folders of a process's channels, this one's by default."""
    found = Path(tempfile.gettempdir()).glob(f"grader-docker_*_{process or os.getpid()}_*_*")
    return [each for each in found if each.is_dir()]


def test_the_channel_is_taken_before_the_submission_comes(inside, engine):
    """The harness has connected; listener, socket and folder are gone, and nobody can connect again or change it."""
    ask = inside(engine())
    assert ask.sandbox._process._connection is not None
    assert folders() == []
    assert ask("attempt", "sorted(os.listdir('/sandbox'))") == "['channel', 'harness.py', 'lib']"
    again = "socket.socket(socket.AF_UNIX).connect('/sandbox/channel')"
    assert ask("attempt", again) == "ECONNREFUSED"
    assert ask("attempt", "os.unlink('/sandbox/channel')") in ("EROFS", "EACCES", "EBUSY")
    assert ask("attempt", "os.chmod('/sandbox/channel', 0o777)") == "EROFS"
    assert ask("attempt", "os.utime('/sandbox/channel')") == "EROFS"
    (line,) = [line for line in ask("see", "/proc/mounts").splitlines() if channel.TARGET in line]
    assert line.split()[3].startswith("ro,")


def test_until_then_only_a_private_folder_leads_to_it():
    """Nobody but the judge may enter it, the socket is alone in it, and whoever is refused leaves nothing."""
    made = channel.Channel(61200)
    (folder,) = folders()
    assert (stat.S_IMODE(folder.stat().st_mode), folder.stat().st_uid) == (0o700, os.getuid())
    assert list(folder.iterdir()) == [Path(made.path)]
    seen = Path(made.path).stat()
    assert (stat.S_IFMT(seen.st_mode), stat.S_IMODE(seen.st_mode), seen.st_uid) == (stat.S_IFSOCK, 0o600, 61200)
    assert connect_as(61200, made.path) == "PermissionError"
    folder.chmod(0o755)
    assert connect_as(61201, made.path) == "PermissionError"
    made.remove()
    made.remove()
    assert folders() == []


@pytest.mark.parametrize(("user", "taken"), [(61200, True), (61201, False), (0, False)])
def test_only_the_containers_user_is_let_in(user, taken):
    """Whoever reached the socket all the same, as somebody else, is hung up on; a second one never gets through."""
    made = channel.Channel(61200)
    (folder,) = folders()
    folder.chmod(0o755)
    Path(made.path).chmod(0o666)
    assert connect_as(user, made.path) == "connected"
    assert connect_as(61200, made.path) == "BlockingIOError"
    connection = made.accept()
    assert (connection is not None) is taken
    if connection is not None:
        assert channel.peer(connection)[1] == user
        connection.close()
    assert connect_as(61200, made.path) == "FileNotFoundError"
    assert made.accept() is None
    assert folders() == []


def connect_as(user, path):
    """Connect as another user, without waiting; return the error's name, or `connected`."""
    code = (
        f"import os, socket\nos.setgroups([])\nos.setresgid({user}, {user}, {user})\n"
        f"os.setresuid({user}, {user}, {user})\nconnection = socket.socket(socket.AF_UNIX)\n"
        f"connection.setblocking(False)\ntry:\n    connection.connect({path!r})\n    print('connected')\n"
        "except OSError as error:\n    print(type(error).__name__)\n"
    )
    return subprocess.check_output([sys.executable, "-I", "-c", code], text=True).strip()


def test_descriptors_do_not_come_out(inside, engine):
    """What is sent along with bytes never becomes a descriptor of the judge's; the bytes were not asked for."""
    ask = inside(engine())
    ask("run", "import array")
    before = descriptors()
    send = "[(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))]"
    ask("run", f"threading.Timer(0.2, lambda: socket.socket(fileno=os.dup(4)).sendmsg([b'x'], {send})).start()")
    wait_until_noisy(ask.sandbox)
    assert descriptors() == before


def descriptors():
    """List this process's open descriptors and what they are."""
    return sorted((entry.name, str(entry.readlink())) for entry in Path("/proc/self/fd").iterdir() if entry.exists())


def wait_until_noisy(sandbox):
    """Return when bytes that nobody asked for have come."""
    limit = time.monotonic() + 10
    while sandbox.quiet():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_urgent_bytes_are_bytes_nobody_asked_for(inside, engine):
    """A byte sent out of band between two questions is seen like any other."""
    ask = inside(engine())
    ask("run", "threading.Timer(0.2, lambda: socket.socket(fileno=os.dup(4)).send(b'x', socket.MSG_OOB)).start()")
    wait_until_noisy(ask.sandbox)


@pytest.mark.parametrize("code", ["os.close(3); os.close(4)", "socket.socket(fileno=4).shutdown(socket.SHUT_RDWR)"])
def test_who_hangs_up_and_lives_on_has_left_the_protocol(inside, engine, code):
    """It is told from a death at once, whatever the daemon says and when."""
    ask = inside(engine())
    with pytest.raises(Broken) as broken:
        ask("run", f"{code}; time.sleep(60)")
    assert broken.value.verdict is Verdict.PROTOCOL_VIOLATION
    assert ask.sandbox.close().cause == "killed"


def test_a_killed_judges_channel_is_removed(child, client, engine):
    """SIGKILL before the harness has answered leaves container and folder, which the next check removes."""
    code = "from grader.exercise import Limits\nfrom worker.docker import DockerEngine\n"
    code += "process = DockerEngine().start('numpy', Limits())\nprint('started', flush=True)\ninput()\n"
    judge_process = child(code)
    assert judge_process.stdout.readline() == "started\n"
    (folder,) = folders(judge_process.pid)
    judge_process.kill()
    judge_process.wait()
    assert folders(judge_process.pid) == [folder]
    engine().check("numpy")
    assert folders(judge_process.pid) == []


def test_the_reaper_touches_nobody_elses_folder(tmp_path, monkeypatch):
    """A living judge's stays, and so does what others have put there under such a name."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    alive = channel.Channel(61200)
    dead = "grader-docker_" + "_".join([*owner.me().split(":")[2:4], "1", "abcdefgh"])
    target, theirs = tmp_path / "target", tmp_path / dead.replace("abcdefgh", "somebody")
    for each in (target, theirs, tmp_path / dead):
        each.mkdir()
        (each / "s").touch()
    os.chown(theirs, 61200, 61200)
    (tmp_path / dead.replace("abcdefgh", "a_linked")).symlink_to(target)
    channel.remove_orphans()
    assert {entry.name for entry in tmp_path.iterdir() if entry.name not in ("target", theirs.name)} == {
        Path(alive.path).parent.name, dead.replace("abcdefgh", "a_linked")
    }  # fmt: skip
    assert [(each / "s").exists() for each in (target, theirs)] == [True, True]
    alive.remove()


FALLBACKS = {
    "the daemon's files are not ours": ("Channel.path", "/nonexistent/grader/s"),
    "the harness finds no socket": ("TARGET", "/sandbox/other"),
    "the user is not the container's": ("peer", lambda _: (1, 0)),
    "the daemon is elsewhere": ("is_near", lambda _: False),
}


@pytest.mark.parametrize("why", FALLBACKS)
def test_without_a_channel_the_attached_streams_go_on(inside, client, engine, monkeypatch, why):
    """Whatever keeps judge and harness from meeting costs speed and nothing else; nothing is left."""
    name, value = FALLBACKS[why]
    if name == "Channel.path":
        elsewhere = property(lambda _: value, lambda _, real: real)
        monkeypatch.setattr(channel.Channel, "path", elsewhere, raising=False)
    else:
        monkeypatch.setattr(channel, name, value)
    ask = inside(engine())
    assert ask.sandbox._process._connection is None
    assert folders() == []
    ask("run", "import numpy as np\ndef big(n): return np.arange(n)")
    assert ask("big", 400_001).sum() == 400_001 * 400_000 // 2
    with pytest.raises(Broken) as broken:
        ask("run", "os._exit(7)")
    assert broken.value.message == "it ended the process (exit status 7)"
    assert mine(client) == []


def test_a_daemon_is_near_where_its_own_process_listens(guard_like):
    """Not over the network, not behind another process, not where nobody listens."""
    here = os.environ.get("DOCKER_HOST", "")
    assert channel.is_near(here)
    for address in ("tcp://127.0.0.1:2375", "ssh://host", "unix:///nonexistent/docker.sock", guard_like):
        assert not channel.is_near(address)


@pytest.fixture
def guard_like(tmp_path):
    """Give the address of a socket on which this process listens."""
    path = str(tmp_path / "g.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        yield f"unix://{path}"


# --- options and refusals


def test_options_reach_the_daemon(monkeypatch, engine):
    """The runtime comes from the environment and stands in what the daemon is told."""
    monkeypatch.setenv("GRADER_DOCKER_RUNTIME", "runsc")
    assert engine().host_config("torch", Limits(), 61200)["Runtime"] == "runsc"


def test_a_gpu_is_one_device_and_for_those_alone_that_hold_it(monkeypatch, engine):
    """One request for the one id; caches in the container's own /tmp; CUDA's requests pass the filter; else nothing."""
    monkeypatch.setenv("GRADER_DOCKER_GPUS", "all")
    plain, holder = engine(), engine()
    holder.gpu = Gpu("GPU-1", "GPU-1", "NVIDIA H100", "580", 81559)
    limits = Limits(scratch_mib=64)
    before, after = (each.config("torch", limits, 61200, {}) for each in (plain, holder))
    assert "DeviceRequests" not in before["host_config"]
    assert before["environment"] == {}
    requests = after["host_config"]["DeviceRequests"]
    assert requests == [{"Driver": "nvidia", "Capabilities": [["compute", "utility"]], "DeviceIDs": ["GPU-1"]}]
    assert after["environment"] == {
        "CUDA_VISIBLE_DEVICES": "GPU-1", "CUDA_CACHE_PATH": "/tmp/cuda", "TRITON_CACHE_DIR": "/tmp/triton",
        "HOME": "/tmp", "TMPDIR": "/tmp",
    }  # fmt: skip
    changed = {key for key, value in after["host_config"].items() if before["host_config"].get(key) != value}
    assert changed == {"DeviceRequests", "Memory", "MemorySwap", "PidsLimit", "SecurityOpt", "Ulimits"}
    assert after["host_config"]["SecurityOpt"][1] == "seccomp=" + seccomp.docker_profile(cuda=True)
    assert after["host_config"]["Tmpfs"]["/tmp"].startswith("rw,noexec,")
    holder.compiles = True
    assert holder.host_config("torch", limits, 61200)["Tmpfs"]["/tmp"].startswith("rw,exec,nosuid,nodev,size=64m,")


def refused(engine, code, *words):
    """Start must raise this error, whose parts hold these words; returns it."""
    with pytest.raises(OurFault) as caught:
        engine.start("numpy", Limits())
    assert caught.value.code == code, caught.value.cause
    text = f"{caught.value.what} {caught.value.cause} {caught.value.hint}"
    assert all(word in text for word in words), text
    return caught.value


def test_a_runtime_that_is_not_there_is_told(client, engine):
    """An unknown runtime is the daemon's refusal, with the variable to unset; no container is left."""
    refused(engine(runtime="runsc"), "E4109", "runsc", "GRADER_DOCKER_RUNTIME")
    assert mine(client) == []


def test_a_device_that_is_not_there_is_told(client, engine):
    """No GPU driver: refused, not judged without."""
    found = engine()
    found.gpu = Gpu("GPU-1", "GPU-1", "NVIDIA H100", "580", 81559)
    refused(found, "E4109", "NVIDIA container toolkit")
    assert mine(client) == []


def test_a_refused_seccomp_profile_is_told(client, monkeypatch, engine):
    """A profile the runtime cannot load is an error, never a container without one."""
    profile = json.loads(seccomp.docker_profile())
    profile["defaultAction"] = "SCMP_ACT_NO_SUCH"
    monkeypatch.setattr(seccomp, "docker_profile", lambda **_: json.dumps(profile))
    refused(engine(), "E4109", "seccomp")
    assert mine(client) == []


@LEAKS
def test_no_daemon_is_told(leaky, monkeypatch, engine):
    """A daemon that does not run: what to start."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    refused(engine(), "E4104", "start")


@LEAKS
def test_a_closed_socket_is_told(leaky, monkeypatch, tmp_path, engine):
    """A socket nobody listens on is a daemon that is down."""
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    refused(engine(), "E4104", "start")


def test_a_limit_that_the_daemon_leaves_out_is_told():
    """A daemon without a control group warns and starts the container all the same: it is refused."""
    warning = "Your kernel does not support pids limit capabilities or the cgroup is not mounted. PIDs limit discarded."
    with pytest.raises(OurFault) as caught:
        docker._refuse_warnings(["No swap limit support", warning])
    assert caught.value.code == "E4109"
    assert caught.value.cause == warning
    docker._refuse_warnings(["No swap limit support"])


def test_no_permission_is_told(child):
    """An ordinary user outside the group docker is told how to get into it."""
    code = (
        "import os; os.setgroups([]); os.setgid(61000); os.setuid(61000)\n"
        "from worker.docker import DockerEngine\nfrom grader.errors import OurFault\n"
        "try:\n    DockerEngine().check('numpy')\nexcept OurFault as error:\n    print(error.code, error.hint)\n"
    )
    imports = "import docker, requests, urllib3, http.client, docker.api, worker.docker\n"  # before it loses its rights
    answer = child(imports + code).communicate()[0]
    assert answer.startswith("E4105")
    assert "group docker" in answer


def test_a_missing_image_and_one_of_another_version_are_told_apart(client, monkeypatch, engine):
    """Both name the command that builds it."""
    monkeypatch.setattr(build, "image_name", lambda kind: f"grader-no-such-sandbox:{kind}-0")
    refused(engine(), "E4106", "grader sandbox build numpy")
    monkeypatch.setattr(build, "image_name", lambda kind: f"grader-sandbox:{kind}-000000000000")
    refused(engine(), "E4107", "grader sandbox build numpy", "grader-sandbox:numpy-")
    assert mine(client) == []


# --- a daemon of our own, to fill and to kill


class Daemon:
    """A second dockerd with its data in a small file system of its own, and the numpy image in it."""

    def __init__(self, folder: Path) -> None:
        """Mount, start, load."""
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "none", str(self.data)], check=True)
        self.socket = folder / "d.sock"
        self.host = f"unix://{self.socket}"
        self.start()
        with subprocess.Popen(["docker", "save", build.image_name("numpy")], stdout=subprocess.PIPE) as save:
            load = ["docker", "-H", self.host, "load", "-q"]
            subprocess.run(load, stdin=save.stdout, check=True, capture_output=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [f"--data-root={self.data}", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"]
        options += ["--bridge=none", "--iptables=false", "--ip6tables=false", f"--host={self.host}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["dockerd", *options], stdout=log, stderr=log, start_new_session=True)
        for _ in range(300):
            command = ["docker", "-H", self.host, "version"]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill the daemon and its containerd, not their containers."""
        self.process.kill()
        self.process.wait()
        subprocess.run(["pkill", "-9", "-f", f"containerd.*{self.folder}.*toml"], check=False)
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "pid").unlink()

    def end(self) -> None:
        """Remove everything."""
        self.process.terminate()
        self.process.wait()
        subprocess.run(["pkill", "-9", "-f", str(self.folder)], check=False)
        for _ in range(50):
            if subprocess.run(["umount", "-R", str(self.data)], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def daemon(tmp_path_factory, monkeypatch):
    """Start a daemon of our own and make it the one the engine finds."""
    started = Daemon(Path(subprocess.check_output(["mktemp", "-d", "/tmp/grader-d.XXXX"], text=True).strip()))
    monkeypatch.setenv("DOCKER_HOST", started.host)
    yield started
    started.end()


@LEAKS
@pytest.mark.timeout(180)
def test_a_daemon_that_dies_loses_no_judging_and_leaves_no_container(leaky, daemon):
    """Killed during a call: an error, no verdict; started again: the orphan goes and the verdict comes."""
    process = judge.start(SOFTMAX, engine="docker")
    process.started()

    def kill(text):
        if text.startswith("test 2 "):
            daemon.kill()

    try:
        with pytest.raises(OurFault) as caught:
            process.run(SLOW, seed=judge.new_seed(), on_phase=kill)
    finally:
        process.close()
    assert caught.value.code == "E4104"
    daemon.start()
    assert judge.judge(SOFTMAX, RIGHT, engine="docker").verdict is Verdict.ACCEPTED
    assert subprocess.check_output(["docker", "-H", daemon.host, "ps", "-aq"]) == b""


@pytest.mark.timeout(180)
def test_a_full_disk_is_told(daemon, engine):
    """No space for a container: what to do; and nothing half made is left."""
    with contextlib.suppress(OSError), (daemon.data / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    with contextlib.suppress(OSError):
        for number in range(100_000):
            (daemon.data / f"filler{number}").write_bytes(b"x")
    refused(engine(), "E4108", "docker system prune")
