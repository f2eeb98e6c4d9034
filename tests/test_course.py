"""Times and policies as people write them."""

import datetime as dt

import pytest

from grader import course
from grader.course import Assignment, Item
from grader.errors import UsageError

BERLIN = course.zone("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-10-05 18:00", "2026-10-05T16:00:00+00:00"),
        ("2026-12-05T18:00:30", "2026-12-05T17:00:30+00:00"),
        ("2026-10-05T18:00Z", "2026-10-05T18:00:00+00:00"),
        ("2026-10-25 02:30+02:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25 02:30+01:00", "2026-10-25T01:30:00+00:00"),
    ],
)
def test_a_time_is_in_the_courses_zone_unless_it_says_otherwise(text, wanted):
    """Summer and winter; an offset of its own goes before."""
    assert course.moment(text, BERLIN) == dt.datetime.fromisoformat(wanted)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("2026-03-29 02:30", "the clocks of Europe/Berlin skip it, as summer time begins"),
        ("2026-10-25 02:30", "the clocks of Europe/Berlin show it twice, as summer time ends"),
        ("2026-10-05", "it is no date and time"),
        ("tomorrow", "it is no date and time"),
        ("2026-13-05 18:00", "it is no date and time"),
        ("0001-01-01 00:00", "it is no date and time"),
    ],
)
def test_a_time_that_is_none_or_two_is_refused(text, cause):
    """With what to write instead."""
    with pytest.raises(UsageError) as caught:
        course.moment(text, BERLIN)
    assert (caught.value.code, caught.value.cause) == ("E2304", cause)
    assert caught.value.hint


def test_an_ambiguous_time_is_told_with_both_offsets():
    """So that one of them can be pasted."""
    with pytest.raises(UsageError) as caught:
        course.moment("2026-10-25 02:30", BERLIN)
    assert "2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00" in caught.value.hint


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../etc/passwd", "", "CET\0"])
def test_a_zone_that_is_none_is_refused(name):
    """Whatever the library says of it."""
    with pytest.raises(UsageError) as caught:
        course.zone(name)
    assert caught.value.code == "E2304"


def test_a_policy_is_read():
    """Each form that the help text names."""
    assert course.late("none") == course.late("closed") == course.Late()
    assert course.late("10%/day") == course.Late(10.0, 86400, 0.0)
    assert course.late("2.5%/hour floor 50%") == course.Late(2.5, 3600, 50.0)


def test_a_day_begun_is_a_day():
    """In time to the second; a floor ends it."""
    late = course.late("10%/day floor 50%")
    days = {0: 1.0, 1: 0.9, 86400: 0.9, 86401: 0.8, 10 * 86400: 0.5}
    assert {seconds: late.factor(seconds) for seconds in days} == days


def assignment(**changes):
    """Return an assignment of softmax and adam that takes work in the first half of 2150."""
    items = [Item(exercise="softmax", points=1.0), Item(exercise="adam", points=1.0)]
    times = {"opens_at": dt.datetime(2150, 1, 1, tzinfo=dt.UTC), "closes_at": dt.datetime(2150, 7, 1, tzinfo=dt.UTC)}
    return Assignment(**({"name": "hw", "items": items} | times | changes))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, ["softmax", "adam"]),
        ({"opens_at": None, "closes_at": None}, ["softmax", "adam"]),
        ({"items": [Item(exercise="adam", points=5.0)]}, ["adam"]),
        ({"opens_at": dt.datetime(2150, 7, 1, tzinfo=dt.UTC), "closes_at": None}, ["softmax", "adam"]),
        ({"opens_at": dt.datetime(2150, 7, 1, 0, 0, 1, tzinfo=dt.UTC), "closes_at": None}, []),
        ({"opens_at": None, "due_at": dt.datetime(2149, 1, 1, tzinfo=dt.UTC)}, ["softmax", "adam"]),
        ({"opens_at": None, "due_at": dt.datetime(2149, 1, 1, tzinfo=dt.UTC), "late": "closed"}, []),
    ],
)
def test_assignments_overlap_where_one_submission_counts_for_both(changes, wanted):
    """To the second, whichever comes first."""
    one, other = assignment(), assignment(**changes)
    assert course.overlap(one, other) == wanted
    assert course.overlap(other, one) == wanted


def test_a_rule_is_for_a_test_that_is_there():
    """A misspelt one would show what was to be hidden; the hint names those that are there."""
    item = Item(exercise="softmax", points=1.0, disclosure={"test_large": "never"})
    course.check_rules(item, ["test_a", "test_large"])
    with pytest.raises(UsageError, match="softmax has no hidden test 'test_large'") as caught:
        course.check_rules(item, ["test_a", "test_b"])
    assert caught.value.hint == "it has test_a, test_b"
