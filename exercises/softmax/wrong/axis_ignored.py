"""softmax always normalises the last axis: pass axis on to the reductions.

Caught by test_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
