"""The running sum takes -inf minus -inf, which is NaN, when a slice begins with -inf.

Caught by test_minus_infinity.
"""

import numpy as np


def softmax(x, axis=-1):
    moved = np.moveaxis(x, axis, 0)
    largest = moved[0].copy()
    total = np.ones_like(largest)
    for row in moved[1:]:
        larger = np.maximum(largest, row)
        total = total * np.exp(largest - larger) + np.exp(row - larger)
        largest = larger
    return np.moveaxis(np.exp(moved - largest) / total, 0, axis)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
