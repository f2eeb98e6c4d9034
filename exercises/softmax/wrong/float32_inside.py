"""The work is done in float32, so float64 inputs lose half of their digits: compute in the input's dtype.

Caught by test_matches_the_definition, test_backward_matches_the_gradient.
"""

import numpy as np


def softmax(x, axis=-1):
    y = x.astype(np.float32)
    weights = np.exp(y - y.max(axis=axis, keepdims=True))
    return (weights / weights.sum(axis=axis, keepdims=True)).astype(x.dtype)


def softmax_backward(grad_output, output, axis=-1):
    g = grad_output.astype(np.float32)
    y = output.astype(np.float32)
    return (y * (g - (g * y).sum(axis=axis, keepdims=True))).astype(output.dtype)
