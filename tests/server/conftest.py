"""An API over a real store, in SQLite and PostgreSQL, with two organisations and everyone in them."""

import contextlib
import datetime as dt
import shutil
from dataclasses import dataclass, field

import pytest
from starlette.testclient import TestClient

from grader import exercise as exercises
from grader.report import Environment, Report, TestReport, Usage
from grader.server import app, settings
from grader.server.access import SCOPES
from grader.store import Store, open_store
from grader.store.identity import Account, Identity
from grader.verdict import Verdict
from tests.conftest import KINDS, RIGHT, timed, write
from tests.store import cluster as servers

MAIN, OTHER = "main", "other"
PASSWORD = "correct horse battery staple"  # noqa: S105  of accounts that live as long as a test
RIGHT_SOURCE = RIGHT["function"]


class Rung:
    """A bell that remembers for which queues it was rung."""

    def __init__(self):
        """Begin with none."""
        self.queues = []

    def send(self, queue, number=1):
        """Remember a ringing."""
        self.queues += [queue] * number
        return number


@dataclass
class World:
    """A store with accounts and their tokens by `organisation/name`."""

    store: Store
    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self):
        """The store's accounts."""
        return Identity(self.store)

    def add(self, learner, role="learner", public_name=None):
        """Add an account and give it a token with all that its role allows; return the token."""
        organisation, name = learner.split("/")
        account = self.identity.add_account(organisation, name, role=role, public_name=public_name)
        self.accounts[learner] = account
        self.tokens[learner] = self.token(learner, SCOPES[role])
        return self.tokens[learner]

    def token(self, learner, scopes, seconds=86400.0):
        """Return a new token of an account."""
        token, _ = self.identity.issue_token(
            self.accounts[learner].id, label="test", scopes=frozenset(scopes), seconds=seconds, by=None
        )
        return token

    def send(self, learner, exercise="double", source=RIGHT_SOURCE, **changes):
        """Store a submission as the API does."""
        loaded = exercises.load(exercise)
        sent = {
            "learner": learner,
            "exercise": exercise,
            "version": loaded.version,
            "title": loaded.title,
            "filename": "double.py",
            "source": source,
            "seed": "00" * 16,
            "queue": "cpu",
        }
        return self.store.add_submission(**(sent | changes))

    def judge(self, queued, verdict=Verdict.ACCEPTED, score=3.0, ratios=()):
        """Claim a judging and store a report on it, with calls that took so many times the reference's time."""
        claim = self.store.claim(queued.judging, "a worker", 60.0)
        assert claim is not None
        self.store.note(claim, "ready")
        points = {"points": score, "max_points": 3.0}
        test = TestReport(name="test_doubles", title="Doubles.", verdict=verdict, speed=timed(*ratios), **points)
        report = Report(
            exercise=claim.exercise,
            exercise_version=claim.version,
            verdict=verdict,
            score=score,
            max_score=3.0,
            tests=[test],
            usage=Usage(wall_seconds=0.1),
            environment=Environment(grader="0.1.0", engine="bubblewrap"),
            seed=claim.seed,
            log="a traceback of ours",
        )
        assert self.store.finish(claim, report)

    def sent_and_judged(self, learner, verdict=Verdict.ACCEPTED, score=3.0, ratios=(), **changes):
        """Store a submission that is judged already."""
        queued = self.send(learner, **changes)
        self.judge(queued, verdict, score, ratios)
        return queued


@pytest.fixture(scope="session")
def cluster():
    """Start a server of PostgreSQL, with a database `migrated` to copy from."""
    with servers.start(*servers.QUICK) as running:
        running.run("CREATE DATABASE migrated")
        open_store(running.url("migrated")).close()
        yield running


@pytest.fixture(scope="session")
def sqlite_people(tmp_path_factory):
    """Fill a file of SQLite, to copy: return it, and who is in it."""
    file = tmp_path_factory.mktemp("people") / "grader.sqlite3"
    return file, people(f"sqlite:///{file}")


@pytest.fixture(scope="session")
def postgresql_people(cluster):
    """Fill a database of PostgreSQL, to copy: return its name, and who is in it."""
    name = cluster.create("migrated")
    return name, people(cluster.url(name))


def people(where):
    """Add `main/ada`, `other/ada` and one account of each role in each organisation; return accounts and tokens."""
    with contextlib.closing(open_store(where)) as store:
        world = World(store)
        for organisation in (MAIN, OTHER):
            world.identity.add_organisation(organisation)
            for role in SCOPES:
                world.add(f"{organisation}/{role}", role)
            world.add(f"{organisation}/ada", public_name="Ada")
        return world.accounts, world.tokens


@pytest.fixture
def postgres(request, cluster):
    """Return the address of a database of PostgreSQL that is migrated and, where no test asks for a world, empty."""
    with_people = "world" in request.fixturenames
    name = cluster.create(request.getfixturevalue("postgresql_people")[0] if with_people else "migrated")
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request, tmp_path):
    """Return the address of a database: each test that asks runs on both."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")
    path = tmp_path / "grader.sqlite3"
    if "world" in request.fixturenames:
        shutil.copy(request.getfixturevalue("sqlite_people")[0], path)
    return f"sqlite:///{path}"


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    """Write the small exercise `double`, where the server finds it."""
    write(tmp_path, KINDS["function"])
    monkeypatch.setenv("GRADER_EXERCISES", str(tmp_path / "exercises"))
    return tmp_path / "exercises" / "double"


@pytest.fixture
def world(request, where, exercise):
    """Return a store of a test's own with two organisations and everybody in them."""
    _, (accounts, tokens) = request.getfixturevalue(f"{where.partition(':')[0]}_people")
    with contextlib.closing(open_store(where)) as store:
        yield World(store, dict(accounts), dict(tokens))


@pytest.fixture
def bell():
    """Return a bell that remembers its ringing."""
    return Rung()


@pytest.fixture
def serve(world, bell):
    """Return a factory: a client of an API with these settings, logged in as nobody."""
    clients = []

    def make(**values):
        client = TestClient(
            app.create(settings.read(embedded=True, **values), world.store, bell), raise_server_exceptions=False
        )
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve):
    """Return a client that is logged in as nobody, of an API that does not limit how often one submits."""
    return serve(submissions_per_minute=100_000.0, in_flight=1000)


@pytest.fixture
def as_(world):
    """Return a function: the headers of a request by an account."""
    return lambda learner: {"Authorization": f"Bearer {world.tokens[learner]}"}


def problem(response, status, code):
    """Check that an answer is a problem with this status and code, whole and without a traceback; return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    assert found["code"] == code
    assert found["type"] == f"/v1/problems/{code}"
    assert all(found[name] for name in ("title", "detail", "hint"))
    assert "Traceback" not in response.text
    return found


def moment(text):
    """Read a moment of the API."""
    return dt.datetime.fromisoformat(text)
