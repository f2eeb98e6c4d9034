"""A float32 input gives a float64 result: keep the dtype of the input.

Caught by test_matches_the_definition, test_backward_matches_the_gradient.
"""

import numpy as np


def softmax(x, axis=-1):
    x = np.asarray(x, dtype=float)
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    grad_output = np.asarray(grad_output, dtype=float)
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
