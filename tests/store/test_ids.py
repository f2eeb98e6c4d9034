"""Ids sort by time, say what they name, and cannot be guessed."""

import time

from grader.store.ids import new_id


def test_an_id_is_short_and_says_what_it_names():
    """A prefix and 18 characters that are safe in a URL, a file name and a double click."""
    fresh = new_id("s")
    assert fresh.startswith("s_")
    assert len(fresh) == 20
    assert set(fresh[2:]) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_sort_by_time(monkeypatch):
    """An id made a millisecond later is greater, over carries in any place of the time."""
    moments = [1_000_000 * ms for place in range(1, 9) for ms in (32**place - 1, 32**place)]
    made = []
    for moment in moments:
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment)
        made.append(new_id("j"))
    assert made == sorted(made)


def test_ids_of_one_millisecond_differ(monkeypatch):
    """The random half alone keeps ids apart, and uses its whole range."""
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    made = {new_id("j") for _ in range(1000)}
    assert len(made) == 1000
    assert all(fresh.startswith("j_000000000") for fresh in made)
    assert len({fresh[11] for fresh in made}) == 32
