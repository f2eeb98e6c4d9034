"""x -= ... changes the caller's array: make a new one.

Caught by test_inputs_stay_as_they_are.
"""

import numpy as np


def softmax(x, axis=-1):
    x -= x.max(axis=axis, keepdims=True)
    weights = np.exp(x)
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
