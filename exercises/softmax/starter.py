"""Softmax and its vector-Jacobian product, in NumPy."""

import numpy as np


def softmax(x, axis=-1):
    """Return the softmax of `x` along `axis`.

    x: float32 or float64 array of rank 1 or more; entries may be -inf.
    axis: the axis to normalise over, from -x.ndim to x.ndim - 1.
    Returns a new array, same shape and dtype as `x`.
    """
    raise NotImplementedError


def softmax_backward(grad_output, output, axis=-1):
    """Return the gradient of a loss with respect to the softmax's input.

    grad_output: gradient of the loss with respect to the softmax's output.
    output: what `softmax(x, axis)` returned; same shape and dtype as `grad_output`.
    Returns a new array, same shape and dtype as `output`.
    """
    raise NotImplementedError
