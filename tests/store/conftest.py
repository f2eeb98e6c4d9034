"""Stores in SQLite and in PostgreSQL, and factories for what goes into them."""

import pytest
from sqlalchemy import select, text

from grader.owner import me
from grader.report import Environment, Report, TestReport, Usage
from grader.store import open_store
from grader.store.identity import Identity
from grader.verdict import Verdict
from tests.store import cluster as servers


@pytest.fixture
def path(tmp_path):
    """Where the database is to be; neither folder nor file exists yet, and the names are awkward."""
    return tmp_path / "a home #1 100%" / "grader.sqlite3"


@pytest.fixture(scope="session")
def cluster():
    """Start a server of PostgreSQL, with a database `migrated` to copy from."""
    with servers.start(*servers.QUICK) as running:
        running.run("CREATE DATABASE migrated")
        open_store(running.url("migrated")).close()
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request):
    """Name what the store is kept in: each test that asks runs on both."""
    return request.param


@pytest.fixture
def where(request, backend):
    """Return the address of a store that is to be opened."""
    return _address(request, backend, "migrated")


@pytest.fixture
def nowhere(request, backend):
    """Return an address where nothing is yet: no file, or no table."""
    return _address(request, backend, "template1")


def _address(request, backend, template):
    if backend == "sqlite":
        return f"sqlite:///{request.getfixturevalue('path')}"
    cluster = request.getfixturevalue("cluster")
    name = cluster.create(template)
    request.addfinalizer(lambda: cluster.drop(name))
    return cluster.url(name)


@pytest.fixture
def store(where):
    """Return a fresh store."""
    store = open_store(where)
    yield store
    store.close()


@pytest.fixture
def rows(store):
    """Return a function: select columns from the store's tables."""

    def read(*columns):
        with store._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(select(*columns))]

    return read


@pytest.fixture
def execute(store):
    """Return a function: run a statement that the store itself never would."""

    def run(statement):
        with store._engine.execution_options(writes=True).begin() as connection:
            connection.execute(text(statement))

    return run


@pytest.fixture
def send():
    """Return a factory: submit something, unless told otherwise always the same."""

    def submit(store, **changes):
        sent = {
            "learner": "ada",
            "exercise": "softmax",
            "version": "v1",
            "title": "Softmax",
            "filename": "softmax.py",
            "source": b"def softmax(x): ...\n",
            "seed": "seed 1",
        }
        return store.add_submission(**(sent | changes))

    return submit


@pytest.fixture
def report_on():
    """Return a factory: a report for a claim, two tests, the first passed."""

    def build(claim, **changes):
        tests = [
            TestReport(name="test_b", title="Agrees.", verdict=Verdict.ACCEPTED, points=2.0, max_points=2.0),
            TestReport(
                name="test_a",
                title="Is finite.",
                verdict=Verdict.WRONG_ANSWER,
                points=0.0,
                max_points=1.5,
                message="3 of 4 elements are too large",
                explanation="The maximum is not subtracted.",
            ),
        ]
        parts = {
            "exercise": claim.exercise,
            "exercise_version": claim.version,
            "verdict": Verdict.WRONG_ANSWER,
            "score": 2.0,
            "max_score": 3.5,
            "message": "1 of 2 tests passed",
            "tests": tests,
            "usage": Usage(wall_seconds=0.25, cpu_seconds=0.2, peak_memory_mib=41.5, calls=7, sandboxes=1),
            "environment": Environment(grader="0.1.0", engine="local", python="3.11.7", numpy="2.4.0"),
            "seed": claim.seed,
        }
        return Report(**(parts | changes))

    return build


@pytest.fixture
def school(store):
    """Return accounts of two organisations: ada and bob show a name, cyd does not, eve is elsewhere."""
    identity = Identity(store)
    identity.add_organisation("school")
    identity.add_organisation("firm")
    return {
        name: identity.add_account(organisation, name, role="learner", public_name=public)
        for organisation, name, public in (
            ("school", "ada", "Countess"),
            ("school", "bob", "Builder"),
            ("school", "cyd", None),
            ("firm", "eve", "Eve"),
        )
    }


@pytest.fixture
def finish(store, report_on):
    """Return a function: claim a judging and store a score."""

    def end(judging, score, **changes):
        claim = store.claim(judging, me(), 600.0)
        verdict = Verdict.ACCEPTED if score == 3.5 else Verdict.WRONG_ANSWER
        assert store.finish(claim, report_on(claim, **({"score": score, "verdict": verdict} | changes)))

    return end


@pytest.fixture
def judge(store, send, finish):
    """Return a function: submit for an account and store a score; returns the submission."""

    def run(account, score, **changes):
        queued = send(store, learner=account.learner)
        finish(queued.judging, score, **changes)
        return queued.submission

    return run
