"""reshape does not bring an axis to the end, it regroups the numbers: use np.moveaxis or keepdims.

Caught by test_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    rows = x.reshape(-1, x.shape[axis])
    weights = np.exp(rows - rows.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)).reshape(x.shape)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
