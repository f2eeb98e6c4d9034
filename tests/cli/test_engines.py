"""The choice of an engine, `grader doctor` and `grader sandbox`, as a user meets them: real processes and engines."""

import contextlib
import json
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import docker as sdk
import pytest

from grader import local, owner
from worker import cgroup, docker

pytestmark = pytest.mark.usefixtures("sandbox_images")

ROOT = Path(__file__).parents[2]
RIGHT = (ROOT / "reference" / "softmax.py").read_text(encoding="utf-8")
SLOW = "import time\n\n\ndef softmax(x, axis=-1):\n    time.sleep(60)\n\n\ndef softmax_backward(grad_output, output, axis=-1):\n    pass\n"  # noqa: E501
NO_DAEMON = {"DOCKER_HOST": "unix:///nonexistent/x.sock"}
NO_ENGINE = {**NO_DAEMON, "PATH": "/nonexistent"}
LIMITS = {"docker": "cgroup", "bubblewrap": "cgroup v", "local": "rlimits"}


@pytest.fixture
def softmax(work):
    """Write a right submission where `grader submit softmax` finds it."""
    path = work / "softmax.py"
    path.write_text(RIGHT, encoding="utf-8")
    return path


@pytest.fixture
def client():
    """Connect to the daemon."""
    connected = docker.connect()
    yield connected
    connected.close()


def environment_of(done):
    """Return what a report's JSON says of the engine; stdout holds nothing else."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["environment"]


# --- the choice


@pytest.mark.usefixtures("softmax")
@pytest.mark.parametrize("engine", LIMITS)
def test_the_engine_asked_for_judges_and_the_report_names_it(grader, client, sandbox_images, engine):
    """Submit, check and rejudge, by flag and by variable: engine, the image's digest, what holds the limits."""
    image = client.inspect_image(sandbox_images["numpy"])["Id"] if engine == "docker" else ""
    submitted = grader("submit", "softmax", "--json", "--engine", engine)
    last = json.loads(submitted.stdout)["submission"]
    for done in (
        submitted,
        grader("check", "softmax", "--json", "--engine", engine),
        grader("rejudge", last, "--json", GRADER_ENGINE=engine),
    ):
        found = environment_of(done)
        assert (found["engine"], found["image"]) == (engine, image)
        assert found["limits"].startswith(LIMITS[engine])
    page = " ".join(grader("results", last, "-v").stdout.split())
    assert f"engine {engine}, {image + ', ' if image else ''}limits by {found['limits']}" in page


@pytest.mark.usefixtures("softmax")
def test_the_flag_goes_before_the_variable_and_the_variable_before_the_file(grader, work):
    """And without any of them the first engine that isolates judges."""

    def engine(*arguments, **changes):
        return environment_of(grader("check", "softmax", "--json", *arguments, **changes))["engine"]

    assert engine() == "docker"
    (work / ".grader.toml").write_text('engine = "local"\n')
    assert engine() == "local"
    assert engine(GRADER_ENGINE="bubblewrap") == "bubblewrap"
    assert engine("--engine", "local", GRADER_ENGINE="bubblewrap") == "local"


@pytest.mark.usefixtures("softmax")
@pytest.mark.parametrize("command", ["submit", "check", "verify"])
def test_an_unknown_engine_is_a_usage_error(grader, command):
    """Its name, where it came from and the names there are."""
    done = grader(command, "softmax", "--engine", "podman")
    assert done.returncode == 2
    assert "error[E2113]: there is no engine called 'podman'" in done.stderr
    assert "auto, docker, bubblewrap, local" in done.stderr
    done = grader(command, "softmax", GRADER_ENGINE="podman")
    assert (done.returncode, "GRADER_ENGINE" in done.stderr) == (2, True)


@pytest.mark.usefixtures("softmax")
@pytest.mark.parametrize(
    ("engine", "changes", "code", "remedy"),
    [
        ("docker", NO_DAEMON, "E4104", "systemctl start docker"),
        ("bubblewrap", NO_ENGINE, "E4110", "install bubblewrap"),
    ],
    ids=["daemon down", "no bwrap"],
)
def test_an_engine_that_cannot_work_stores_nothing(grader, engine, changes, code, remedy):
    """Our fault, with the remedy; the next submission is the first attempt, and a stored one stays as it is."""
    for command in ("submit", "check"):
        done = grader(command, "softmax", "--engine", engine, **changes)
        assert (done.returncode, done.stdout) == (3, "")
        assert f"error[{code}]" in done.stderr
        assert remedy in done.stderr
        assert "Traceback" not in done.stderr
    assert json.loads(grader("history", "softmax", "--json").stdout)["submissions"] == []
    first = json.loads(grader("submit", "softmax", "--json", "--engine", "local").stdout)
    assert first["attempt"] == 1
    again = grader("rejudge", first["submission"], "--engine", engine, **changes)
    assert (again.returncode, f"error[{code}]" in again.stderr) == (3, True)
    assert json.loads(grader("results", "--json").stdout) == first


@pytest.mark.usefixtures("softmax")
def test_auto_takes_bubblewrap_without_a_word(grader):
    """Both isolate: nobody need be told."""
    done = grader("submit", "softmax", "--json", "--engine", "auto", **NO_DAEMON)
    assert environment_of(done)["engine"] == "bubblewrap"
    assert "engine" not in done.stderr


@pytest.mark.usefixtures("softmax")
def test_auto_warns_of_local_unless_only_isolation_will_do(grader):
    """On stderr, with the reasons; GRADER_ISOLATED refuses, also an engine that is named."""
    done = grader("submit", "softmax", "--json", **NO_ENGINE)
    assert environment_of(done)["engine"] == "local"
    assert "does NOT isolate" in done.stderr
    assert "bubblewrap is missing" in done.stderr
    for arguments, code in (((), "no engine that isolates works here"), (("--engine", "local"), "does not isolate")):
        refused = grader("submit", "softmax", *arguments, GRADER_ISOLATED="yes", **NO_ENGINE)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "error[E2114]" in refused.stderr
        assert code in refused.stderr
    assert len(json.loads(grader("history", "softmax", "--json").stdout)["submissions"]) == 1


# --- doctor


def test_the_doctor_finds_a_machine_well(grader):
    """Exit code 0, and every finding of both engines is good; as JSON and as a page."""
    done = grader("doctor", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["schema"], found["faults"]) == (0, "grader/doctor/1", [])
    assert found["auto"] == {"numpy": "docker", "torch": "docker"}
    assert all(each["ok"] for engine in ("docker", "bubblewrap") for each in found["engines"][engine])
    page = grader("doctor").stdout
    assert "✗" not in page
    assert "numpy exercises are judged by engine docker" in page


@pytest.mark.parametrize(
    ("changes", "code", "auto", "words"),
    [
        (NO_DAEMON, 0, "bubblewrap", "systemctl start docker"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:1"}, 0, "bubblewrap", "Connection refused"),
        ({"DOCKER_HOST": "nonsense"}, 0, "bubblewrap", "nonsense"),
        ({"PATH": ""}, 0, "docker", "install bubblewrap"),
        (NO_ENGINE, 1, "local", "does NOT isolate"),
        ({"GRADER_DOCKER_RUNTIME": "runsc"}, 1, "docker", "unset GRADER_DOCKER_RUNTIME"),
    ],
    ids=["no socket", "refused", "no address", "no path", "no engine", "no runtime"],
)
def test_the_doctor_says_what_is_missing(grader, changes, code, auto, words):
    """What mends it, which engine `auto` takes, and exit code 1 where none that isolates would judge."""
    done = grader("doctor", "--json", **changes)
    assert (done.returncode, done.stderr) == (code, "")
    found = json.loads(done.stdout)
    assert found["auto"]["numpy"] == auto
    missing = [each for engine in found["engines"].values() for each in engine if not each["ok"]]
    assert missing
    assert all(each["remedy"] for each in missing)
    assert all(each["code"].startswith("E4") and each["hint"] for each in found["faults"])
    for width in (40, 100):
        page = grader("doctor", COLUMNS=str(width), **changes)
        assert (page.returncode, page.stderr) == (code, "")
        assert max(map(len, page.stdout.splitlines())) <= width
        assert words in " ".join(page.stdout.split())


@pytest.mark.parametrize("module", ["docker", "torch", "numpy"])
def test_the_doctor_does_without_what_is_not_installed(environment, work, module):
    """The SDK is missing: pip brings it. A kind that this installation cannot judge is no trouble, none at all is."""
    code = f"import sys; sys.modules[{module!r}] = None; sys.argv = ['grader', 'doctor', '--json']\n"
    code += "from grader.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=environment, capture_output=True, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    if module == "docker":
        assert 'pip install "grader[docker]"' in found["engines"]["docker"][0]["remedy"]
        assert found["auto"] == {"numpy": "bubblewrap", "torch": "bubblewrap"}
    else:
        assert found["auto"] == {kind: "docker" for kind in ("numpy", "torch") if kind != module}


# --- a killed judge


def named(names, pids):
    """Return those names of owners whose process is among these."""
    return {name for name in names if name.split(":")[3] in {str(pid) for pid in pids}}


def groups():
    """Name every sandbox's control group."""
    place = cgroup.find()
    assert place is not None
    return {path.name for folder in place.folders.values() for path in folder.iterdir() if path.is_dir()}


def containers(client):
    """Map the owner of each of our containers to its first process."""
    found = {}
    for each in client.containers(filters={"label": docker.OWNER}):
        with contextlib.suppress(sdk.errors.NotFound):
            found[each["Labels"][docker.OWNER]] = client.inspect_container(each["Id"])["State"]["Pid"]
    return found


@pytest.mark.usefixtures("softmax")
@pytest.mark.parametrize("engine", ["docker", "bubblewrap"])
def test_a_killed_submit_is_finished_by_the_next_and_leaves_nothing(grader, work, environment, client, engine):
    """SIGKILL amid a test: the next submit says so and judges it first; container, group and processes are gone."""
    (work / "slow.py").write_text(SLOW)
    environment["GRADER_ENGINE"] = engine
    command = [sys.executable, "-m", "grader", "submit", "softmax", "slow.py"]
    with subprocess.Popen(command, cwd=work, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("test 1 of" in line for line in process.stderr)
        pids = local._descendants(process.pid, ())
        held = named(containers(client) if engine == "docker" else groups(), pids)
        pids += [pid for holder, pid in containers(client).items() if holder in held]
        process.kill()
    assert len(held) == 1
    assert len(pids) > 1

    done = grader("submit", "softmax", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "accepted")
    told = r"(?m)^judging j_\w+ of submission s_\w+ \(softmax\) was interrupted: judging it now$"
    assert re.search(told, done.stderr)
    listed = json.loads(grader("history", "softmax", "--json").stdout)["submissions"]
    assert [each["verdict"] for each in listed] == ["accepted", "time_limit_exceeded"]
    assert not held & (containers(client).keys() | groups())
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists() and owner._start(str(pid))]


# --- grader sandbox


def orphans(client, image):
    """Make a container and a control group of a judge that lives no more; return their names."""
    gone = f"{owner.me().rsplit(':', 1)[0]}:1"
    labels = {docker.OWNER: gone, docker.EXPIRES: str(int(time.time()) + 600)}
    container = client.create_container(image, ["true"], labels=labels)["Id"]
    place = cgroup.find()
    assert place is not None
    name = f"{gone}:{secrets.token_hex(4)}"
    for folder in set(place.folders.values()):
        (folder / name).mkdir()
    return container, name


def there(client, container, group):
    """Tell which of the two is still there."""
    return bool(client.containers(all=True, filters={"id": container})), group in groups()


def test_the_reaper_removes_what_killed_judges_left(grader, client, sandbox_images):
    """It says how many; at least ours, for tests beside this one leave some too."""
    left = orphans(client, sandbox_images["numpy"])
    done = grader("sandbox", "reap")
    assert there(client, *left) == (False, False)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"control groups removed: \d+\ncontainers removed: \d+\n", done.stderr)


def test_the_reaper_without_a_daemon_does_what_it_can(grader, client, sandbox_images):
    """The groups are removed, and the error has its remedy; the containers wait for the next run."""
    left = orphans(client, sandbox_images["numpy"])
    done = grader("sandbox", "reap", **NO_DAEMON)
    assert (done.returncode, "error[E4104]" in done.stderr) == (3, True)
    assert there(client, *left)[1] is False
    assert grader("sandbox", "reap", "-q").stderr == ""
    assert there(client, *left) == (False, False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_reaper_goes_on_until_it_is_ended(environment, work, client, sandbox_images, tmp_path, number):
    """A daemon that is away is told once; when it is back the containers go. The end is clean."""
    address = tmp_path / "docker.sock"
    command = [sys.executable, "-m", "grader", "sandbox", "reap", "--every", "1"]
    changed = {**environment, "DOCKER_HOST": f"unix://{address}"}
    process = subprocess.Popen(command, cwd=work, env=changed, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "cannot be reached, trying again" not in (line := process.stderr.readline()):
        assert "groups removed" in line  # of tests beside this one
    time.sleep(2.5)  # two more rounds without a daemon, which must say nothing
    left = orphans(client, sandbox_images["numpy"])
    address.symlink_to("/var/run/docker.sock")
    limit = time.monotonic() + 20
    while any(there(client, *left)) and time.monotonic() < limit:
        time.sleep(0.1)
    assert there(client, *left) == (False, False)
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert re.fullmatch(r"((control groups|containers) removed: [1-9]\d*\n)*", said), said


def test_grader_sandbox_alone_means_help(grader):
    """As `grader` alone does; each command says what it is for, and a wrong number is a usage error."""
    done = grader("sandbox")
    assert (done.returncode, done.stdout) == (0, grader("sandbox", "--help").stdout)
    for name in ("build", "reap"):
        assert re.search(rf"^  {name} +[A-Z].*\.$", done.stdout, re.MULTILINE)
        assert grader("sandbox", name, "--help").returncode == 0
    assert grader("sandbox", "reap", "--every", "0").returncode == 2


@pytest.mark.parametrize("arguments", [["--help"], ["sandbox", "build", "--help"], ["sandbox", "reap", "--help"]])
def test_help_imports_no_engine(environment, arguments):
    """Help and completion stay quick however many engines there are."""
    command = [sys.executable, "-X", "importtime", "-m", "grader", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"worker", "docker", "requests", "numpy", "rich"}
