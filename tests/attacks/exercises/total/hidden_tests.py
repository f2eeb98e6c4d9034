"""Hidden tests: an object stays in the sandbox, and an array is held there."""

import pytest
from grader.checkers import assert_close, assert_unchanged


@pytest.mark.points(2)
def test_adds(submission, reference, rng):
    """Adds an array twice."""
    start, x = rng.normal(size=3), 918273.0 + rng.normal(size=3) / 4
    got, want = submission.Total(start), reference.Total(start)
    for _ in range(2):
        got.add(x)
        want.add(x)
        assert_close(got.total, want.total)
    assert_unchanged(submission)


@pytest.mark.points(1)
def test_leaves_the_start_alone(submission, reference, rng):
    """The array that the total began with does not change."""
    start, x = 918273.0 + rng.normal(size=3) / 4, rng.normal(size=3)
    held = submission.hold(start)
    got = submission.Total(held)
    got.add(x)
    assert_close(held.fetch(), start)
