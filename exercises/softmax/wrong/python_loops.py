"""Python visits every element by itself, which takes tens of times as long: let NumPy work on whole arrays.

Caught by test_speed.
"""

import math

import numpy as np


def softmax(x, axis=-1):
    moved = np.moveaxis(x, axis, -1)
    rows = []
    for row in moved.reshape(-1, moved.shape[-1]).tolist():
        largest = max(row)
        weights = [math.exp(score - largest) for score in row]
        total = math.fsum(weights)
        rows.append([weight / total for weight in weights])
    return np.moveaxis(np.array(rows).reshape(moved.shape), -1, axis).astype(x.dtype)


def softmax_backward(grad_output, output, axis=-1):
    inner = np.sum(grad_output * output, axis=axis, keepdims=True)
    return output * (grad_output - inner)
