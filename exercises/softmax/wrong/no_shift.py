"""exp overflows for large scores: subtract the largest score of each slice before exp.

Caught by test_large_scores, test_equal_scores.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x)
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
