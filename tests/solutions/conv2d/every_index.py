"""Seven nested loops, one product at a time, as the formula stands; border tests instead of padding."""

import numpy as np


def _products(x, weight, oh, ow, stride, padding, dilation, groups):
    """Yield (n, f, i, j, index of weight, index of x) for each product of the definition."""
    (sh, sw), (ph, pw), (dh, dw) = [o if type(o) is tuple else (o, o) for o in (stride, padding, dilation)]
    n_images, _, height, width = x.shape
    f_count, per_group, kh, kw = weight.shape
    for f in range(f_count):
        start = (f // (f_count // groups)) * per_group
        for i in range(oh):
            for j in range(ow):
                for a in range(kh):
                    row = i * sh + a * dh - ph
                    if not 0 <= row < height:
                        continue
                    for b in range(kw):
                        column = j * sw + b * dw - pw
                        if not 0 <= column < width:
                            continue
                        for c in range(per_group):
                            for n in range(n_images):
                                yield (n, f, i, j), (f, c, a, b), (n, start + c, row, column)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    size = []
    for axis in range(2):
        s, p, d = [o if isinstance(o, int) else o[axis] for o in (stride, padding, dilation)]
        size.append((x.shape[2 + axis] + 2 * p - d * (weight.shape[2 + axis] - 1) - 1) // s + 1)
    out = np.zeros((x.shape[0], weight.shape[0], *size), dtype=x.dtype)
    if bias is not None:
        for f in range(weight.shape[0]):
            out[:, f] = bias[f]
    for where, at_weight, at_x in _products(x, weight, *size, stride, padding, dilation, groups):
        out[where] += weight[at_weight] * x[at_x]
    return out


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    grad_x, grad_weight = np.zeros(x.shape, x.dtype), np.zeros(weight.shape, weight.dtype)
    size = grad_output.shape[2:]
    for where, at_weight, at_x in _products(x, weight, *size, stride, padding, dilation, groups):
        grad_x[at_x] += grad_output[where] * weight[at_weight]
        grad_weight[at_weight] += grad_output[where] * x[at_x]
    grad_bias = np.zeros(weight.shape[0], x.dtype)
    for f in range(weight.shape[0]):
        grad_bias[f] = grad_output[:, f].sum()
    return grad_x, grad_weight, grad_bias
