"""A workshop: `grader serve --embedded` serves and judges in one process tree over SQLite."""

import os
import signal
import time

import pytest

from grader.owner import is_alive
from grader.store.models import Judging
from grader.verdict import Verdict
from tests.conftest import RIGHT
from tests.server import live
from tests.server.live import Stream

ADA = "main/ada"
SENT = {"exercise": "double", "filename": "double.py", "source": RIGHT["function"].decode()}
SLOW = "import time\ntime.sleep(0.5)\n" + SENT["source"]

pytestmark = pytest.mark.parametrize("where", ["sqlite"], indirect=True)


@pytest.fixture
def workshop(world, where, tmp_path):
    """Start one, with two judgings at a time."""
    with live.start(
        "--embedded",
        GRADER_DATABASE_URL=where,
        GRADER_HOME=str(tmp_path / "home"),
        GRADER_ENGINE="bubblewrap",
        GRADER_CONCURRENCY="2",
    ) as running:
        yield running


def test_submissions_are_judged(workshop, world):
    """Right, wrong and crashing files of two learners get their verdicts, with all phases."""
    files = {
        "accepted": SENT["source"],
        "wrong_answer": "def double(x, factor=2.0):\n    return x\n",
        "runtime_error": "def double(x, factor=2.0):\n    return 1 / 0\n",
        "import_error": "def",
    }
    sent = {
        (who, verdict): workshop.request("POST", "/v1/submissions", world.tokens[who], SENT | {"source": source})[1]
        for who in (ADA, "other/ada")
        for verdict, source in files.items()
    }
    for (who, verdict), each in sent.items():
        stream = Stream(workshop, each["links"]["events"], world.tokens[who])
        *_, (name, _, data) = stream.events()
        stream.close()
        assert (name, data["verdict"]) == ("done", verdict)
        assert list(data["phases"]) == ["received", "queued", "claimed", "ready", "judged", "stored"]
    status, report = workshop.request("GET", sent[ADA, "accepted"]["links"]["report"], world.tokens[ADA])
    assert (status, report["environment"]["engine"]) == (200, "bubblewrap")


def test_a_lane_that_is_killed_is_replaced_and_its_judging_ends(workshop, world):
    """Whoever held the judging is dead: another takes it up, and there is one verdict."""
    _, sent = workshop.request("POST", "/v1/submissions", world.tokens[ADA], SENT | {"source": SLOW})
    owner = wait(lambda: owner_of(world, sent["judging"]))
    os.kill(int(owner.split(":")[3]), signal.SIGKILL)
    wait(lambda: not is_alive(owner))
    world.store.sweep()  # the lanes do it only every half minute
    assert wait(lambda: world.store.progress(sent["judging"]).verdict) is Verdict.ACCEPTED
    assert len(world.store.submission(sent["submission"]).judgings) == 1


def test_it_ends_whole(workshop, world):
    """SIGTERM ends the tree, and and the judging that ran waits again."""
    _, sent = workshop.request("POST", "/v1/submissions", world.tokens[ADA], SENT | {"source": SLOW})
    owner = wait(lambda: owner_of(world, sent["judging"]))
    assert workshop.stop() == 0
    assert not is_alive(owner)
    assert world.store.progress(sent["judging"]).status == "queued"


def owner_of(world, judging):
    """Return who judges, once somebody does."""
    with world.store.transaction(writes=False) as session:
        row = session.get(Judging, judging)
        return row.owner if row.status == "running" else None


def wait(found, seconds=30):
    """Return what `found` gives once that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError("it did not happen")
