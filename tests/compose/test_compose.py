"""compose.yaml on a real engine: a submission is judged end to end, and each container can do only its own work."""

import json
import re
import subprocess
import time
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from grader import exercise as exercises
from tests.compose import stack as stacks
from worker import build

pytestmark = [pytest.mark.usefixtures("sandbox_images"), pytest.mark.timeout(1800)]
ROOT = stacks.ROOT
RIGHT = exercises.load("softmax").reference.read_text()
OURS = ("api", "sweep", "worker", "guard")
CREATE = """
from worker import docker, build
client = docker.connect()
image = client.inspect_image(build.image_name("numpy"))["Id"]
try:
    print(client.create_container(image, ["python3"], host_config={"Binds": ["/:/host"], "Privileged": True}))
except Exception as error:
    print(error)
"""
OUT = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Start the stack once for all tests of this file."""
    with stacks.start(tmp_path_factory.mktemp("checkout")) as running:
        yield running


@pytest.fixture(scope="module")
def token(stack):
    """Return the token of a learner."""
    return token_of(stack, "ada", "learner")


def token_of(stack, name, role):
    """Add an account as the operator does, and return a token of it."""
    stack.inside("api", "grader", "user", "add", name, "--organisation", "main", "--role", role)
    return stack.inside("api", "grader", "token", "issue", name, "--organisation", "main").strip()


def judged(stack, token, source):
    """Submit, wait for the verdict, return the report."""
    sent = {"exercise": "softmax", "filename": "softmax.py", "source": source}
    status, accepted = stack.request("/v1/submissions", token, sent)
    assert status == 202, accepted
    limit = time.monotonic() + 60
    while stack.request(f"/v1/judgings/{accepted['judging']}", token)[1]["status"] != "done":
        assert time.monotonic() < limit, stack.compose("logs", "--tail", "40")
        time.sleep(0.2)
    return stack.request(f"/v1/judgings/{accepted['judging']}/report", token)[1]


def test_a_submission_is_judged_in_a_container(stack, token):
    """Through API, database, Redis, worker and guard into a sandbox, and back: right and wrong."""
    report = judged(stack, token, RIGHT)
    assert (report["verdict"], report["environment"]["engine"]) == ("accepted", "docker"), report
    assert report["usage"]["cpu_seconds"] > 0
    assert judged(stack, token, RIGHT + "\n\ndef softmax(x, axis=-1):\n    return x\n")["verdict"] == "wrong_answer"


def test_ready_after_a_canary(stack):
    """The API is ready once its canary came back from a worker."""
    limit = time.monotonic() + 60
    while (answer := stack.request("/ready"))[0] != 200:
        assert time.monotonic() < limit, answer
        time.sleep(0.5)
    assert answer[1]["canary_age_seconds"] is not None


def test_metrics_are_those_of_the_alerts(stack):
    """An operator's token reads the metrics; each name in an alert is among them, and a learner reads none."""
    status, told = stack.request("/metrics", token_of(stack, "olga", "operator"))
    assert status == 200
    asked = set(re.findall(r"grader_\w+", (stacks.COMPOSE / "alerts.yml").read_text()))
    assert len(asked) >= 3
    assert {name for name in asked if f"# TYPE {name.removesuffix('_count')} " not in told} == set()
    assert stack.request("/metrics")[0] == 401


def test_every_container_is_confined(stack):
    """Read-only, without capabilities or new privileges, bounded, healthy; root in the guard alone."""
    found = stack.containers()
    assert set(found) == {*OURS, "migrate", "postgres", "redis"}
    assert found["migrate"]["State"]["ExitCode"] == 0
    for name, each in found.items():
        host = each["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert not host["Privileged"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert (host["NanoCpus"] == 10**9) == (name not in {"worker", "postgres"}), name
        assert (each["Config"]["User"].split(":")[0] in ("", "0", "root")) == (name == "guard"), name
        assert all("PASSWORD=" not in variable for variable in each["Config"]["Env"]), name
    limit = time.monotonic() + 60
    while (health := stack.health()) != dict.fromkeys(("api", "guard", "postgres", "redis"), "healthy"):
        assert time.monotonic() < limit, health
        time.sleep(0.5)


def test_only_the_guard_has_dockers_socket(stack):
    """No other container has it, nor a folder it lies in; the guard has no network, the others `back`."""
    found = stack.containers()
    binds = {
        name: [mount["Source"] for mount in each["Mounts"] if mount["Type"] == "bind"] for name, each in found.items()
    }
    secrets = str(stack.folder / "secrets")
    scripts = str(stack.folder / "worker" / "compose")
    assert [path for path in binds.pop("guard") if not path.endswith("docker.sock")] == []
    assert [path for paths in binds.values() for path in paths if not path.startswith((secrets, scripts))] == []
    networks = {name: set(each["NetworkSettings"]["Networks"]) for name, each in found.items()}
    front, back = (f"{stack.project}_{name}" for name in ("front", "back"))
    assert networks.pop("guard") == {"none"}
    assert networks.pop("api") == {front, back}
    assert {name: each for name, each in networks.items() if each != {back}} == {}
    published = {
        name: [port for port in each["NetworkSettings"]["Ports"].values() if port] for name, each in found.items()
    }
    assert [name for name, ports in published.items() if ports] == ["api"]


def test_a_worker_that_was_taken_over_gets_nowhere(stack):
    """It can ask the guard for no container of its own making, and reaches no address outside."""
    assert "the guard of Docker's socket refuses this" in stack.inside("worker", "python3", "-c", CREATE)
    assert "refused: create" in stack.compose("logs", "guard")
    assert "Error" in stack.inside("worker", "python3", "-c", OUT, fails=True)
    for path in ("/srv/grader/x", "/run/secrets/database_url", "/run/guard/x"):
        assert "Read-only" in stack.inside("worker", "python3", "-c", f"open('{path}', 'w')", fails=True)


def test_each_service_has_only_its_secrets(stack):
    """The API has no judging secret, nobody but PostgreSQL the superuser's password, the guard none at all."""
    kept = {
        name: {
            target.rpartition("/")[2] for mount in each["Mounts"] if "/run/secrets/" in (target := mount["Destination"])
        }
        for name, each in stack.containers().items()
    }
    addresses = {"database_url", "broker_url"}
    assert kept == {
        "api": addresses | {"oidc_client_secret"},
        "sweep": addresses,
        "worker": addresses | {"judging_secret"},
        "guard": set(),
        "migrate": {"database_url"},
        "postgres": {"database_url", "postgres_password"},
        "redis": {"broker_url"},
    }


def test_the_database_role_of_the_services_is_no_superuser(stack):
    """What the services log in as can neither read files of the server nor make roles."""
    asked = [
        "psql",
        "-U",
        "postgres",
        "-tAc",
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = 'grader'",
    ]
    assert stack.inside("postgres", *asked).strip() == "f"


def test_redis_keeps_what_it_has(stack):
    """It asks for the password, writes to disk and evicts nothing."""
    assert "NOAUTH" in stack.inside("redis", "redis-cli", "ping")
    script = "REDISCLI_AUTH=$(sed -E 's#.*:(.*)@.*#\\1#' /run/secrets/broker_url) redis-cli config get "
    for name, value in (("appendonly", "yes"), ("maxmemory-policy", "noeviction")):
        assert stack.inside("redis", "sh", "-c", script + name).split() == [name, value]


def test_nothing_is_lost_when_everything_is_killed(stack, token):
    """As when the power fails: reports, accounts and tokens are there, and judging goes on."""
    before = judged(stack, token, RIGHT)
    stack.compose("kill")
    stack.compose("up", "--detach", "--no-build")
    limit = time.monotonic() + 90
    while True:
        try:
            status, history = stack.request("/v1/exercises/softmax/history", token)
            if status == 200:
                break
        except OSError:
            status, history = 0, None
        assert time.monotonic() < limit, (status, history)
        time.sleep(0.5)
    assert before["submission"] in json.dumps(history)
    assert judged(stack, token, RIGHT)["verdict"] == "accepted"


def test_every_profile_is_understood():
    """`docker compose config` reads the file with all profiles, and all it names exists."""
    done = subprocess.run(
        [*stacks.program(), "--profile", "metrics", "--profile", "gpu", "config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    services = set(re.findall(r"^  ([\w-]+):$", done.stdout.partition("\nservices:\n")[2], re.MULTILINE))
    assert {"prometheus", "worker-gpu", *OURS} <= services
    binds = re.findall(rf"{re.escape(str(ROOT))}/(worker/compose/[\w.-]+)", done.stdout)
    assert len(set(binds)) >= 4
    assert [path for path in binds if not (ROOT / path).is_file()] == []


def test_every_variable_is_documented():
    """docs/operating.md has each that compose.yaml reads."""
    files = [ROOT / "compose.yaml", *stacks.COMPOSE.glob("*.yaml")]
    read = set(re.findall(r"\$\{(\w+)", "".join(file.read_text() for file in files)))
    assert len(read) > 20
    assert read - set(re.findall(r"\w+", (ROOT / "docs" / "operating.md").read_text())) == set()


def test_the_lock_has_what_the_extras_need():
    """Each library of the service's images in the version of constraints.txt: else run worker/compose/lock.py."""
    pins = {pin for pin in (ROOT / "constraints.txt").read_text().splitlines() if "==" in pin}
    locked = build.requirements(stacks.COMPOSE / "service.lock").keys()
    assert locked - pins == {"async-timeout==5.0.1"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["judge"], *extras["docker"], *extras["server"]]
    names = {canonicalize_name(name.partition("==")[0]) for name in locked}
    assert {canonicalize_name(Requirement(each).name) for each in needed} - names == set()


def test_secrets_are_made_once(tmp_path):
    """The script makes what is missing and leaves what is there; the folder is its owner's alone."""
    script = stacks.COMPOSE / "new-secrets"
    for _ in range(2):
        subprocess.run([script, tmp_path / "s"], check=True)
        made = {path.name: path.read_text() for path in (tmp_path / "s").iterdir()}
    assert set(made) == {"postgres_password", "database_url", "broker_url", "judging_secret", "oidc_client_secret"}
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    (tmp_path / "s" / "broker_url").unlink()
    subprocess.run([script, tmp_path / "s"], check=True)
    again = {path.name: path.read_text() for path in (tmp_path / "s").iterdir()}
    assert {name for name in made if made[name] != again[name]} == {"broker_url"}
    assert min(len(re.sub(r"[^0-9a-f]", "", text)) for text in again.values() if text) >= 48
