"""Axes of length 1 are squeezed away: the result must have the shape of the input.

Caught by test_every_axis, test_backward_along_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.squeeze(weights / weights.sum(axis=axis, keepdims=True))


def softmax_backward(grad_output, output, axis=-1):
    return np.squeeze(output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True)))
