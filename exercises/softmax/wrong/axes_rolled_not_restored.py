"""The axis is moved to the end but put back at the wrong place: moveaxis back with the arguments swapped.

Caught by test_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    moved = np.moveaxis(x, axis, -1)
    weights = np.exp(moved - moved.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return np.moveaxis(weights, axis, -1).reshape(x.shape)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
