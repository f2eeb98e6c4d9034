"""Probabilities are kept above a smallest value: those of -inf must be exactly 0.

Caught by test_minus_infinity.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.maximum(weights / weights.sum(axis=axis, keepdims=True), 1e-7).astype(x.dtype)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
