"""Examples worked out by hand; `grader check fused-softmax` runs them, on a GPU."""

import pytest
import torch

from grader.checkers import assert_close


def floats(values):
    """Return `values` as a float32 tensor."""
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.points(1)
def test_example_of_the_statement(submission):
    """The statement's example: the probabilities of log 1, log 2 and log 3."""
    y = submission.fused_softmax(floats([[1, 2, 3]]).log(), floats([0, 0, 0]))
    assert_close(y, floats([[1 / 6, 2 / 6, 3 / 6]]))


@pytest.mark.points(1)
def test_scale_and_bias(submission):
    """The scale multiplies the scores alone; the bias is added to every row."""
    x = floats([[1, 2, 3], [1, 1, 1]]).log()
    assert_close(submission.fused_softmax(x, floats([0, 0, 0]), scale=2.0)[:1], floats([[1 / 14, 4 / 14, 9 / 14]]))
    assert_close(submission.fused_softmax(x, floats([1, 1, 2]).log(), scale=0.0), floats([[0.25, 0.25, 0.5]] * 2))


@pytest.mark.points(1)
def test_a_hidden_column(submission):
    """A very low bias hides a column."""
    y = submission.fused_softmax(floats([[1, 2, 3]]).log(), floats([0, 0, -1e30]))
    assert_close(y, floats([[1 / 3, 2 / 3, 0]]))
