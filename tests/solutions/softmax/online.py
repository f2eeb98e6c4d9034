"""Online: one pass keeps a running maximum and a running sum, slice after slice along the axis."""

import numpy as np


def softmax(x, axis=-1):
    moved = np.moveaxis(x, axis, 0)
    largest = np.full(moved.shape[1:], -np.inf, dtype=x.dtype)
    total = np.zeros(moved.shape[1:], dtype=x.dtype)
    for row in moved:
        larger = np.maximum(largest, row)
        safe = np.where(np.isneginf(larger), 0, larger).astype(x.dtype)
        total = total * np.exp(largest - safe) + np.exp(row - safe)
        largest = larger
    return np.moveaxis(np.exp(moved - largest) / total, 0, axis)


def softmax_backward(grad_output, output, axis=-1):
    gradients = np.moveaxis(grad_output, axis, 0)
    outputs = np.moveaxis(output, axis, 0)
    inner = np.zeros(outputs.shape[1:], dtype=output.dtype)
    for g, y in zip(gradients, outputs, strict=True):
        inner = inner + g * y
    result = np.empty_like(output)
    rows = np.moveaxis(result, axis, 0)
    for k, y in enumerate(outputs):
        rows[k] = y * (gradients[k] - inner)
    return result
