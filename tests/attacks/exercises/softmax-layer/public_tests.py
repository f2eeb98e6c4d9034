"""One example."""

import torch
from grader.checkers import assert_close


def test_example(submission):
    """Equal scores share."""
    assert_close(submission.softmax(torch.zeros(2, dtype=torch.float64)), torch.full((2,), 0.5, dtype=torch.float64))
