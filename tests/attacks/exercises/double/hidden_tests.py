"""Hidden tests. Every input begins with the digits 918273, by which a leak of one is found."""

import pytest
from grader.checkers import assert_close, assert_unchanged


@pytest.mark.points(2)
@pytest.mark.parametrize("size", [1, 3])
def test_doubles(submission, reference, rng, size):
    """Doubles every element."""
    for _ in range(2):
        x = 918273.0 + rng.normal(size=size) / 4
        assert_close(submission.double(x), reference.double(x))


@pytest.mark.points(1)
def test_factor(submission, reference, rng):
    """Uses the factor, and changes no argument."""
    x = 918273.0 + rng.normal(size=4) / 4
    assert_close(submission.double(x, factor=3.0), reference.double(x, factor=3.0))
    assert_unchanged(submission)
