"""What the tests of the command line against a server share: one server a module, and a person for each test."""

import itertools
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from grader.server.access import SCOPES
from grader.store import open_store
from grader.verdict import Verdict
from tests.cli.remote.proxy import Proxy
from tests.conftest import KINDS, RIGHT, write
from tests.server import live
from tests.server.conftest import World
from tests.store import cluster as servers

SOURCE = RIGHT["function"]
NO_BROKER = "redis+socket:///nowhere.sock"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def exercise(tmp_path_factory):
    """Write the small exercise `double`, where the server finds it, and no command of a person."""
    folder = tmp_path_factory.mktemp("exercises")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_EXERCISES", str(folder / "exercises"))
        yield write(folder, KINDS["function"])


@pytest.fixture(scope="session")
def cluster():
    """Start a server of PostgreSQL."""
    with servers.start(*servers.QUICK) as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite"])
def where(request, tmp_path_factory):
    """Return the address of a database, empty and migrated; a test may ask for `postgresql`."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database') / 'grader.sqlite3'}"
        return
    cluster = request.getfixturevalue("cluster")
    name = cluster.create()
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture(scope="module")
def world(where, exercise):
    """Fill a store with an organisation and an account of each role."""
    world = World(open_store(where))
    world.identity.add_organisation("main")
    for role in SCOPES:
        world.add(f"main/{role}", role)
    yield world
    world.store.close()


@pytest.fixture(scope="module")
def serve(where, world):
    """Return a factory: start a server over the world's database, where only the test judges."""
    running = []

    def start():
        settings = {"GRADER_DATABASE_URL": where, "GRADER_BROKER_URL": NO_BROKER, "GRADER_CLOSED": "softmax"}
        context = live.start(**settings)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def server(serve):
    """Start the server of this module; `softmax` is closed there."""
    return serve()


@pytest.fixture
def proxy(server):
    """Put a proxy before the server."""
    made = Proxy(server.port)
    yield made
    made.close()


@dataclass
class Person:
    """Somebody with an account and a command line whose server is the proxy, in a folder with a right `double.py`."""

    learner: str
    token: str
    environment: dict[str, str]
    work: Path
    world: World | None = None
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *arguments, stdin="", **changes):
        """Run `grader ARGUMENTS` to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.work,
            env={**self.environment, **changes},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *arguments):
        """Start `grader ARGUMENTS`, and return the process; it does not outlive the test."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.started.append(process)
        return process

    @staticmethod
    def command(*arguments):
        """Return a command line."""
        return [sys.executable, "-m", "grader", *map(str, arguments)]

    @property
    def parcels(self):
        """The submissions that no server has answered."""
        return list((self.work.parent / "home" / "outbox").glob("*.json"))

    @property
    def submissions(self):
        """What the server has of this person, the latest first."""
        assert self.world is not None
        return self.world.store.history(self.learner, "double", 100)


@pytest.fixture
def stranger(environment, work, proxy, world):
    """Return somebody with an account who is not logged in."""
    (work / "double.py").write_bytes(SOURCE)
    learner = f"main/ada{next(_numbers)}"
    server = {"GRADER_SERVER": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "*"}
    person = Person(learner, world.add(learner, public_name=learner[5:]), environment | server, work, world)
    yield person
    for process in person.started:
        with process:
            process.kill()


@pytest.fixture
def ada(stranger):
    """Return somebody whose token stands in the environment."""
    stranger.environment["GRADER_TOKEN"] = stranger.token
    return stranger


@pytest.fixture
def judge(world, stranger):
    """Judge what waits, as long as the test runs: the person's as `verdicts` say, nothing while `pause` is set."""
    state = SimpleNamespace(pause=threading.Event(), verdicts=[])
    ended = threading.Event()

    def work():
        while not ended.wait(0.02):
            waiting = [] if state.pause.is_set() else world.store.watch(list(world.store.line()))
            for each in waiting:
                chosen = state.verdicts if each.learner == stranger.learner else []
                world.judge(each, chosen.pop(0) if chosen else Verdict.ACCEPTED)

    thread = threading.Thread(target=work)
    thread.start()
    yield state
    ended.set()
    thread.join()


def until(condition, seconds=60.0):
    """Wait for a condition."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.02)
