"""Two-dimensional convolution and its gradients. See statement.md."""

import numpy as np


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate x with weight, as deep-learning libraries do.

    x: (N, C, H, W); weight: (F, C // groups, KH, KW); bias: (F,) or None; all float32 or all float64.
    stride, padding, dilation: an int, or a tuple (for the height, for the width). groups: an int.
    Returns an array (N, F, OH, OW) of the same dtype.
    """
    raise NotImplementedError


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    """Return (grad_x, grad_weight, grad_bias) for the loss sum(grad_output * conv2d(x, weight, bias, ...)).

    grad_output: (N, F, OH, OW); the other arguments as for conv2d.
    Returns arrays of the shapes (N, C, H, W), (F, C // groups, KH, KW) and (F,) and of the same dtype.
    """
    raise NotImplementedError
