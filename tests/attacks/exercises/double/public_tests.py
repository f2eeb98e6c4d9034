"""One example."""

import numpy as np
from grader.checkers import assert_close


def test_example(submission):
    """Doubles 1 and 2."""
    assert_close(submission.double(np.array([1.0, 2.0])), np.array([2.0, 4.0]))
