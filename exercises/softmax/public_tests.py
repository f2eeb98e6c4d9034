"""Examples to run locally; the expected values are exact fractions."""

import numpy as np
import pytest
from grader.checkers import assert_close, assert_unchanged


@pytest.mark.points(1)
def test_probabilities_of_three_scores(submission):
    """The scores log 1, log 2, log 3 have probabilities 1/6, 2/6, 3/6."""
    assert_close(submission.softmax(np.log([1.0, 2.0, 3.0])), np.array([1, 2, 3]) / 6)


@pytest.mark.points(1)
def test_axis_0_normalises_columns(submission):
    """With axis=0 every column sums to one."""
    x = np.log([[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]])
    want = np.array([[1 / 4, 1 / 2, 3 / 8], [3 / 4, 1 / 2, 5 / 8]])
    assert_close(submission.softmax(x, axis=0), want)


@pytest.mark.points(1)
def test_large_scores_do_not_overflow(submission):
    """Scores of 1000 are as good as scores of 0, and -inf means probability 0."""
    x = np.array([[1000.0, 1000.0, -np.inf, 1000.0, 1000.0]])
    assert_close(submission.softmax(x), np.array([[1 / 4, 1 / 4, 0, 1 / 4, 1 / 4]]))


@pytest.mark.points(1)
def test_float32_stays_float32(submission):
    """A float32 array gives a float32 array and stays as it was."""
    x = np.array([[2.0, 2.0], [-3.0, -3.0]], dtype=np.float32)
    assert_close(submission.softmax(x), np.full((2, 2), 1 / 2, dtype=np.float32))
    assert_unchanged(submission)


@pytest.mark.points(1)
def test_backward_of_the_example(submission):
    """The gradient of the statement's example is 5/6, -1/3, -1/2."""
    grad_output = np.array([6.0, 0.0, 0.0])
    output = np.array([1 / 6, 1 / 3, 1 / 2])
    assert_close(submission.softmax_backward(grad_output, output), np.array([5 / 6, -1 / 3, -1 / 2]))


@pytest.mark.points(1)
def test_backward_along_axis_0(submission):
    """The backward function works column by column when axis is 0."""
    grad_output = np.array([[4.0, 1.0], [0.0, 1.0]])
    output = np.array([[1 / 4, 1 / 2], [3 / 4, 1 / 2]])
    assert_close(submission.softmax_backward(grad_output, output, axis=0), np.array([[3 / 4, 0], [-3 / 4, 0]]))
