"""Only the diagonal of the Jacobian is used: every output depends on every input of its slice.

Caught by test_backward_matches_the_gradient.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return grad_output * output * (1 - output)
