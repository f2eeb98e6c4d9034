"""One example."""

import numpy as np
from grader.checkers import assert_close


def test_example(submission):
    """3 gives 7."""
    assert_close(submission.roots(np.array([3.0])), np.array([7.0]))
