"""Every entry is compared with every other one of its slice, which takes an array far larger than `x`; one will do.

Caught by test_speed.
"""

import numpy as np


def softmax(x, axis=-1):
    moved = np.moveaxis(x, axis, -1)
    with np.errstate(over="ignore", invalid="ignore"):
        pairs = np.exp(moved[..., None, :] - moved[..., :, None])  # overflows to inf, and 1 / inf is 0
    answer = 1 / np.sum(np.where(np.isnan(pairs), 0, pairs), axis=-1)
    answer[np.isneginf(moved)] = 0
    return np.moveaxis(answer, -1, axis)


def softmax_backward(grad_output, output, axis=-1):
    inner = np.sum(grad_output * output, axis=axis, keepdims=True)
    return output * (grad_output - inner)
