"""Worked examples; every expected value follows from the definition with pencil and paper.

Useful values: sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4, tanh(ln 3) = 4/5, tanh(ln 2) = 3/5.
"""

import numpy as np
import pytest
from grader.checkers import assert_close

LN2, LN3 = np.log(2.0), np.log(3.0)
X, H = np.array([[1.0]]), np.array([[1.0]])
NO_WEIGHT, NO_BIAS = np.zeros((4, 1)), np.zeros(4)
NAMES = ("grad_x", "grad_h", "grad_c", "grad_weight_ih", "grad_weight_hh", "grad_bias_ih", "grad_bias_hh")


@pytest.mark.points(1)
def test_gates_half_open(submission):
    """Without weights and biases every gate is 1/2 and the candidate 0: c is halved."""
    got = submission.lstm_cell(X, H, np.array([[2 * LN2]]), NO_WEIGHT, NO_WEIGHT, NO_BIAS, NO_BIAS)
    assert_close(got, (np.array([[0.3]]), np.array([[LN2]])), names=("h_next", "c_next"))


@pytest.mark.points(1)
def test_order_of_the_gates(submission):
    """Input gate 3/4, forget gate 1/4, candidate 4/5, output gate 1/2, from the biases alone."""
    bias_ih = np.array([LN3, -LN3, LN3, 0.0])
    c = np.array([[4 * (LN2 - 0.6)]])  # so that c_next = 1/4 c + 3/4 4/5 = ln 2
    got = submission.lstm_cell(X, H, c, NO_WEIGHT, NO_WEIGHT, bias_ih, NO_BIAS)
    assert_close(got, (np.array([[0.3]]), np.array([[LN2]])), names=("h_next", "c_next"))


@pytest.mark.points(1)
def test_all_four_parts_are_added(submission):
    """The same gates when each pre-activation is the sum of x, h and two biases."""
    weight_ih, weight_hh = np.array([[LN3], [0.0], [LN3], [1.0]]), np.array([[1.0], [-LN3], [-1.0], [2.0]])
    bias_ih, bias_hh = np.array([0.0, 1.0, 0.5, 0.0]), np.array([-1.0, -1.0, 0.5, -3.0])
    c = np.array([[4 * (LN2 - 0.6)]])
    got = submission.lstm_cell(X, H, c, weight_ih, weight_hh, bias_ih, bias_hh)
    assert_close(got, (np.array([[0.3]]), np.array([[LN2]])), names=("h_next", "c_next"))


@pytest.mark.points(1)
def test_gradients_of_half_open_gates(submission):
    """The gradients when every gate is 1/2 and the candidate 0, with x = 2 and h = 3."""
    x, h, c = np.array([[2.0]]), np.array([[3.0]]), np.array([[2 * LN2]])
    grad_h_next, grad_c_next = np.array([[1.0]]), np.array([[0.68]])
    got = submission.lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, NO_WEIGHT, NO_WEIGHT, NO_BIAS, NO_BIAS)
    # c_next gets 0.68 + 1/2 (1 - 9/25) = 1, and the blocks of z get:
    grad_z = np.array([0.0, LN2 / 2, 0.5, 0.15])
    zero = np.array([[0.0]])
    by_weights = (2.0 * grad_z[:, None], 3.0 * grad_z[:, None])
    assert_close(got, (zero, zero, np.array([[0.5]]), *by_weights, grad_z, grad_z), names=NAMES)
