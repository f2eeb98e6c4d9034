"""grad_output -= ... changes the caller's gradient: make a new array.

Caught by test_inputs_stay_as_they_are.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    grad_output -= (grad_output * output).sum(axis=axis, keepdims=True)
    return grad_output * output
