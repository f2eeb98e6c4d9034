"""output - grad_output is the gradient of cross-entropy for one-hot targets, not that of the softmax itself.

Caught by test_backward_matches_the_gradient.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output - grad_output
