"""Examples worked out by hand; `grader check backprop` runs them."""

import math

import numpy as np
import pytest

from grader.checkers import assert_close

NAMES = ("loss", "grad_weights", "grad_biases")


def floats(values):
    """Return `values` as a float64 array."""
    return np.array(values, dtype=np.float64)


@pytest.mark.points(1)
def test_one_layer_two_samples(submission):
    """One layer, two samples: the loss and the gradients are means over the batch."""
    x = np.eye(2)
    weight = math.log(2) * floats([[1, 0, 0], [0, 0, 1]])
    answer = submission.loss_and_gradients(x, np.array([0, 1]), [weight], [np.zeros(3)])
    grad_weight = floats([[-2, 1, 1], [1, -3, 2]]) / 8
    grad_bias = floats([-1, -2, 3]) / 8
    assert_close(answer, (1.5 * math.log(2), [grad_weight], [grad_bias]), names=NAMES)


@pytest.mark.points(1)
def test_example_of_the_statement(submission):
    """The statement's example: two layers, one hidden unit off."""
    weights = [floats([[1, 1], [1, -1]]), floats([[1, 2], [2, 5]])]
    biases = [floats([0, 0]), floats([3, math.log(3)])]
    answer = submission.loss_and_gradients(floats([[1, 2]]), np.array([0]), weights, biases)
    grad_weights = [floats([[3, 0], [6, 0]]) / 4, floats([[-9, 9], [0, 0]]) / 4]
    grad_biases = [floats([3, 0]) / 4, floats([-3, 3]) / 4]
    assert_close(answer, (math.log(4), grad_weights, grad_biases), names=NAMES)


@pytest.mark.points(1)
def test_three_layers(submission):
    """Three layers of width 1 and 2, one sample: the gradient reaches the first layer."""
    weights = [floats([[2]]), floats([[1, -1]]), floats([[1, 0], [5, 7]])]
    biases = [floats([1]), floats([-1, 2]), floats([0, 4])]
    answer = submission.loss_and_gradients(floats([[2]]), np.array([1]), weights, biases)
    grad_weights = [floats([[1]]), floats([[2.5, 0]]), floats([[2, -2], [0, 0]])]
    grad_biases = [floats([0.5]), floats([0.5, 0]), floats([0.5, -0.5])]
    assert_close(answer, (math.log(2), grad_weights, grad_biases), names=NAMES)


@pytest.mark.points(1)
def test_confident_and_wrong(submission):
    """Logits of 1000 and -1000 with the second as the label: the loss is 2000."""
    answer = submission.loss_and_gradients(floats([[1000]]), np.array([1]), [floats([[1, -1]])], [np.zeros(2)])
    assert_close(answer, (2000.0, [floats([[1000, -1000]])], [floats([1, -1])]), names=NAMES)
