"""Hidden tests: a function of the judge's is passed, and answered by it."""

import pytest
from grader.checkers import assert_close


@pytest.mark.points(2)
@pytest.mark.parametrize("size", [1, 5])
def test_mean(submission, reference, rng, size):
    """Averages what the function returns."""
    weights = 1.0 + rng.random(size=size)
    x = 918273.0 + rng.normal(size=size) / 4

    def function(values):
        return weights * values

    assert_close(submission.mean_of(function, x), reference.mean_of(function, x))
