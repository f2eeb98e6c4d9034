"""The backward function always sums over the last axis: pass axis on to the sum.

Caught by test_backward_along_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=-1, keepdims=True))
