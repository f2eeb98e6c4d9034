"""Softmax and its vector-Jacobian product.

    y_i = exp(x_i) / sum_j exp(x_j)                      along one axis
    dL/dx_i = y_i (dL/dy_i - sum_j dL/dy_j y_j)          since dy_j/dx_i = y_j ([i = j] - y_i)

A constant added to every x_j cancels, so the largest entry is subtracted first: no exponent is then positive.
Source: Goodfellow, Bengio, Courville, Deep Learning (2016), sections 4.1 and 6.2.2.3.
"""

import numpy as np


def softmax(x, axis=-1):
    """Softmax of `x` along `axis`: same shape and dtype; entries of `-inf` get probability 0."""
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / np.sum(weights, axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    """Gradient with respect to softmax's input, from that of its `output`: same shape and dtype."""
    inner = np.sum(grad_output * output, axis=axis, keepdims=True)
    return output * (grad_output - inner)
