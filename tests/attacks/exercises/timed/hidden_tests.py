"""Hidden tests: a right answer, and one that does not take six times as long, as every attack on the clock does."""

import pytest
from grader.checkers import assert_close


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Takes at most four times as long as forty steps."""
    speed("roots", lambda n: (rng.normal(size=n),), sizes=(4000, 8000, 16000), ratio=4, growth=1.8, memory=8)


@pytest.mark.points(2)
@pytest.mark.parametrize("size", [1, 5])
def test_is_right(submission, reference, rng, size):
    """Takes forty square roots."""
    x = rng.normal(size=size)
    assert_close(submission.roots(x), reference.roots(x))
