"""compose.yaml, started as an operator does, from images that are built here, of Debian's packages.

The registry's images are stood in for by those of the Dockerfile beside this file; ours are built from the project's
own Dockerfile, with the wheels fetched by this machine's pip. Layers are kept by the engine, so the next time is quick.
"""

import contextlib
import http
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grader
from worker import build, docker

ROOT = Path(grader.__file__).parents[1]
HERE = Path(__file__).parent
COMPOSE = ROOT / "worker" / "compose"
_COPIED = (".dockerignore", "compose.yaml", "pyproject.toml", "README.md", "LICENSE")
_FOLDERS = ("grader", "worker", "exercises", "reference")
_PROJECT = "com.docker.compose.project"
_BUILD_SECONDS, _START_SECONDS = 1500, 300


def program() -> list[str]:
    """Return the command of Docker Compose that this machine has."""
    new = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if new.returncode == 0 else ["docker-compose"]


class Stack:
    """A copy of what an operator checks out, and the containers that were started from it."""

    def __init__(self, folder: Path) -> None:
        """Copy the files; start nothing yet."""
        self.folder = folder
        for name in _COPIED:
            shutil.copy(ROOT / name, folder / name)
        for name in _FOLDERS:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.project = f"grader-test-{os.getpid()}"
        self.environment = os.environ | {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_DOCKER_CLI_BUILD": "0",  # the engine's own builder: needs no plugin
            "DOCKER_BUILDKIT": "0",
            "BASE": "grader-test:base",
            "BUILD_NETWORK": "none",
            "PIP_NO_INDEX": "1",
            "GRADER_LIBRARIES": "numpy",
            "GRADER_IMAGE": "grader-test:service",
            "GRADER_WORKER_IMAGE": "grader-test:worker",
            "POSTGRES_IMAGE": "grader-test:postgres",
            "REDIS_IMAGE": "grader-test:redis",
            "GRADER_PUBLISH": "127.0.0.1:",  # any free port
        }
        run([folder / "worker" / "compose" / "new-secrets"], folder, self.environment)

    def compose(self, *arguments: str, seconds: float = _START_SECONDS) -> str:
        """Run a command of Docker Compose that must succeed; return what it prints."""
        return run([*program(), *arguments], self.folder, self.environment, seconds=seconds)

    def build(self) -> None:
        """Build the images."""
        with contextlib.closing(docker.connect()) as client:
            base = client.inspect_image(build.image_name("numpy"))["Config"]["Labels"]["grader.sandbox.base"]
        for target, name in (("service", "base"), ("postgres", "postgres"), ("redis", "redis")):
            command = ["docker", "build", "--quiet", "--network", "host", "--build-arg", f"BASE={base}"]
            command += ["--target", target, "--tag", f"grader-test:{name}", str(HERE)]
            run(command, HERE, self.environment, seconds=_BUILD_SECONDS)
        wheels = self.folder / "wheels"
        wheels.mkdir()
        for lock in (COMPOSE / "build.lock", COMPOSE / "service.lock", build.IMAGES / "numpy.lock"):
            for wheel in build.fetch(lock, build.wheelhouse()):
                shutil.copy(wheel, wheels)
        self.compose("build", seconds=_BUILD_SECONDS)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine knows of each container, by the name of its service."""
        listed = run(["docker", "ps", "--all", "--quiet", "--filter", f"label={_PROJECT}={self.project}"])
        found = json.loads(run(["docker", "inspect", *listed.split()]))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def health(self) -> dict[str, str]:
        """Return what the health checks say, of each service that has one."""
        states = {name: each["State"] for name, each in self.containers().items()}
        return {name: state["Health"]["Status"] for name, state in states.items() if "Health" in state}

    def inside(self, service: str, *command: str, fails: bool = False) -> str:
        """Run a command in a service's container, which must succeed unless it `fails`; return what it prints."""
        name = f"{_PROJECT}={self.project}", f"com.docker.compose.service={service}"
        found = run(["docker", "ps", "--quiet", *(f"--filter=label={each}" for each in name)]).strip()
        return run(["docker", "exec", found, *command], fails=fails)

    def wait(self) -> None:
        """Wait until the API answers."""
        limit = time.monotonic() + _START_SECONDS
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):  # Docker's proxy listens before the API does
                if self.request("/health")[0] == http.HTTPStatus.OK:
                    return
            time.sleep(0.2)
        raise AssertionError(self.compose("logs", "--tail", "40"))

    def request(self, path: str, token: str = "", body: object = None) -> tuple[int, Any]:
        """Ask the API where it is published; return status and JSON or text."""
        where = run(["docker", "port", f"{self.containers()['api']['Id']}", "8000/tcp"]).strip()
        request = urllib.request.Request(f"http://{where}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
                status, content = answer.status, answer.read().decode()
        except urllib.request.HTTPError as error:
            with error:
                status, content = error.code, error.read().decode()
        return status, json.loads(content) if content.startswith(("{", "[")) else content


@contextlib.contextmanager
def start(folder: Path) -> Iterator[Stack]:
    """Build and start the stack; remove containers, volumes and networks at the end, and keep the images' layers."""
    stack = Stack(folder)
    stack.build()
    try:
        stack.compose("up", "--detach", "--no-build")
        stack.wait()
        yield stack
    except BaseException:
        with contextlib.suppress(AssertionError):
            print(stack.compose("logs", "--tail", "60"))  # noqa: T201 - pytest shows it
        raise
    finally:
        stack.compose("kill")
        stack.compose("down", "--volumes")


def run(
    command: Sequence[object],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    seconds: float = 60,
    fails: bool = False,
) -> str:
    """Run a command that must succeed, or fail; return what it prints, where it fails its errors too."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert (done.returncode != 0) == fails, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout + done.stderr if fails else done.stdout
