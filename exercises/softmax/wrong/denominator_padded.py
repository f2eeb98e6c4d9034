"""A small number is added to the denominator: after the shift the sum is at least 1, so it only adds an error.

Caught by test_matches_the_definition.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / (weights.sum(axis=axis, keepdims=True) + 1e-8)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
