"""Only the first and the last axis work: an axis between them, or one counted from the back, is mistaken for the last.

Caught by test_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    x = x.T if axis == 0 else x
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return weights.T if axis == 0 else weights


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
