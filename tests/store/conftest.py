"""Stores on disk, and factories for what goes into them."""

import pytest

from grader.report import Environment, Report, TestReport, Usage
from grader.store import open_store
from grader.verdict import Verdict


@pytest.fixture
def path(tmp_path):
    """Where the database is to be; neither folder nor file exists yet, and the names are awkward."""
    return tmp_path / "a home #1 100%" / "grader.sqlite3"


@pytest.fixture
def store(path):
    """Return a fresh store."""
    return open_store(path)


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
