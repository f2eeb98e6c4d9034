"""GPUs in a store: each leased to one at a time, kept from everybody after a fault, seen by operators."""

import datetime as dt

import pytest
from sqlalchemy import update

from grader import records
from grader.owner import me
from grader.store.gpus import SEEN_SECONDS, Gpus
from grader.store.models import Gpu

DEAD = me().rpartition(":")[0] + ":1"
"""This process's own name with another moment of start: one that has ended."""
LONG = 900.0


def offered(*ids):
    """Describe GPUs as a worker offers them."""
    return [records.Gpu(id=each, model="H100", driver="580.1", memory_mib=81559) for each in ids]


@pytest.fixture
def gpus(store):
    """Return the GPUs of a store in which one worker offers two."""
    found = Gpus(store)
    found.offer("one", offered("a", "b"))
    return found


@pytest.fixture
def age(store):
    """Return a function: put moments of a GPU so many seconds back."""

    def back(gpu, seconds, *columns):
        with store.transaction(writes=True) as session:
            then = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
            session.execute(update(Gpu).where(Gpu.id == gpu).values(dict.fromkeys(columns, then)))

    return back


def test_each_is_leased_to_one_at_a_time(gpus):
    """Two are had by two, a third waits; one that is let go is had again, and nobody lets go what is another's."""
    first, second = gpus.lease(["a", "b"], "x", LONG), gpus.lease(["a", "b"], "y", LONG)
    assert [each.gpu for each in (first, second)] == ["a", "b"]
    assert gpus.lease(["a", "b"], "z", LONG) is None
    assert not gpus.release("a", "y")
    assert gpus.release("a", "x")
    assert gpus.lease(["a", "b"], "z", LONG) == records.Leased(gpu="a", abandoned=False)


def test_only_those_of_this_machine_are_leased(gpus):
    """A worker never gets what another machine offers."""
    assert gpus.lease(["c"], "x", LONG) is None
    assert gpus.lease(["b", "c"], "x", LONG).gpu == "b"


def test_a_lease_that_ran_out_or_whose_holder_died_is_another_s(gpus, age):
    """It is had again, as one that nobody has cleaned; the late holder can neither extend nor release it."""
    assert gpus.lease(["a"], DEAD, LONG).abandoned is False
    assert gpus.lease(["a"], "x", LONG) == records.Leased(gpu="a", abandoned=True)
    assert gpus.extend("a", "x", LONG)
    age("a", 1, "lease_until")
    assert gpus.lease(["a"], "y", LONG).abandoned is True
    assert not gpus.extend("a", "x", LONG)
    assert not gpus.release("a", "x")


def test_nobody_gets_one_in_quarantine(gpus):
    """Not even by offering it anew; the first reason stands until it is restored, and once only."""
    assert gpus.quarantine("a", "an uncorrectable error")
    assert not gpus.quarantine("a", "another one")
    gpus.offer("one", offered("a", "b"))
    assert gpus.lease(["a"], "x", LONG) is None
    assert [each.quarantine for each in gpus.all()] == ["an uncorrectable error", ""]
    assert gpus.restore("a")
    assert not gpus.restore("a")
    assert gpus.lease(["a"], "x", LONG).gpu == "a"


def test_whoever_holds_one_is_not_disturbed_by_its_quarantine(gpus):
    """The holder extends and releases; then nobody has it."""
    gpus.lease(["a"], "x", LONG)
    gpus.quarantine("a", "hot")
    assert gpus.extend("a", "x", LONG)
    assert gpus.release("a", "x")
    assert gpus.lease(["a"], "y", LONG) is None


def test_a_service_offers_gpus_as_long_as_a_good_one_was_seen(gpus, age):
    """One that is held counts, one in quarantine or unseen does not."""
    gpus.lease(["a"], "x", LONG)
    gpus.quarantine("b", "hot")
    assert gpus.offered()
    age("a", SEEN_SECONDS + 1, "seen_at")
    assert not gpus.offered()
    gpus.offer("two", offered("a"))
    assert gpus.offered()


def test_operators_see_what_runs_where(gpus, store, send, age):
    """Model, driver, memory, worker, judging; what is gone is not shown, unless it is in quarantine."""
    queued = send(store, queue="gpu")
    gpus.lease(["a"], "x", LONG)
    assert gpus.assign("a", "x", queued.judging)
    assert not gpus.assign("a", "y", queued.judging)
    first, second = gpus.all()
    assert (first.id, first.worker, first.model, first.driver, first.memory_mib) == ("a", "one", "H100", "580.1", 81559)
    assert (first.judging, second.judging) == (queued.judging, None)
    gpus.release("a", "x")
    assert gpus.all()[0].judging is None
    gpus.quarantine("b", "hot")
    for each in "ab":
        age(each, SEEN_SECONDS + 1, "seen_at")
    assert [each.id for each in gpus.all()] == ["b"]
