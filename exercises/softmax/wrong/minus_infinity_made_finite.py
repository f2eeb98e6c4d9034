"""-inf is replaced by a large negative number, which wins against scores that are lower still.

Caught by test_minus_infinity.
"""

import numpy as np


def softmax(x, axis=-1):
    x = np.maximum(x, -1e9).astype(x.dtype)
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
