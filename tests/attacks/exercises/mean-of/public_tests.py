"""One example."""

import numpy as np
from grader.checkers import assert_close


def test_example(submission):
    """The mean of 1 and 9 is 5."""
    assert_close(submission.mean_of(lambda x: x * x, np.array([1.0, 3.0])), 5.0)
