"""Worked examples; every expected value follows from the definition with pencil and paper."""

import numpy as np
import pytest
from grader.checkers import assert_close

X = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
WEIGHT = np.array([[[[1.0, 0.0], [0.0, -1.0]]]])
BIAS = np.array([10.0])


@pytest.mark.points(1)
def test_example_of_the_statement(submission):
    """The example of the statement, without options."""
    assert_close(submission.conv2d(X, WEIGHT, bias=BIAS), np.full((1, 1, 2, 2), 6.0))


@pytest.mark.points(1)
def test_example_with_stride_and_padding(submission):
    """The example of the statement, with stride 2 and padding 1."""
    got = submission.conv2d(X, WEIGHT, bias=BIAS, stride=2, padding=1)
    assert_close(got, np.array([[[[9.0, 7.0], [3.0, 6.0]]]]))


@pytest.mark.points(1)
def test_example_with_pairs(submission):
    """Stride, padding and dilation as (height, width), all different."""
    x = np.arange(1.0, 13.0).reshape(1, 1, 3, 4)
    weight = np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])
    got = submission.conv2d(x, weight, stride=(1, 2), padding=(0, 1), dilation=(2, 3))
    assert_close(got, np.array([[[[11030.0, 1002.0]]]]))


@pytest.mark.points(1)
def test_example_with_groups(submission):
    """Two groups: the first two output channels see input channel 0, the last two see channel 1."""
    x = np.array([1.0, 2.0]).reshape(1, 2, 1, 1)
    weight = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(4, 1, 1, 1)
    got = submission.conv2d(x, weight, groups=2)
    assert_close(got, np.array([1.0, 10.0, 200.0, 2000.0]).reshape(1, 4, 1, 1))


@pytest.mark.points(1)
def test_example_of_the_gradients(submission):
    """The gradients of the statement's example."""
    grad_output = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    grad_x = np.array([[[[1.0, 2.0, 0.0], [3.0, 3.0, -2.0], [0.0, -3.0, -4.0]]]])
    grad_weight = np.array([[[[37.0, 47.0], [67.0, 77.0]]]])
    got = submission.conv2d_backward(grad_output, X, WEIGHT)
    assert_close(got, (grad_x, grad_weight, np.array([10.0])), names=("grad_x", "grad_weight", "grad_bias"))


@pytest.mark.points(1)
def test_example_of_the_gradients_with_stride(submission):
    """With stride 2 the last row and column of x meet no window: their gradient is 0."""
    grad_output = np.array([[[[5.0]]]])
    grad_x = np.array([[[[5.0, 0.0, 0.0], [0.0, -5.0, 0.0], [0.0, 0.0, 0.0]]]])
    grad_weight = np.array([[[[5.0, 10.0], [20.0, 25.0]]]])
    got = submission.conv2d_backward(grad_output, X, WEIGHT, stride=2)
    assert_close(got, (grad_x, grad_weight, np.array([5.0])), names=("grad_x", "grad_weight", "grad_bias"))
