"""The gradient of x sends weight[a, b] back to where it read, offset (a, b); here the kernel is flipped.

Caught by test_gradients_plain.
"""

import numpy as np


def pair(option):
    return option if isinstance(option, tuple) else (option, option)


def windows(a, b, oh, ow, stride, dilation):
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    rows = slice(a * dh, a * dh + (oh - 1) * sh + 1, sh)
    columns = slice(b * dw, b * dw + (ow - 1) * sw + 1, sw)
    return rows, columns


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    n, c, h, w = x.shape
    f, c_group, kh, kw = weight.shape
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    oh = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((n, f, oh, ow), dtype=x.dtype)
    f_group = f // groups
    for g in range(groups):
        ins = slice(g * c_group, (g + 1) * c_group)
        outs = slice(g * f_group, (g + 1) * f_group)
        for a in range(kh):
            for b in range(kw):
                rows, columns = windows(a, b, oh, ow, stride, dilation)
                out[:, outs] += np.einsum("ncij,fc->nfij", padded[:, ins, rows, columns], weight[outs, :, a, b])
    if bias is not None:
        out += bias.reshape(1, f, 1, 1)
    return out


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    n, c, h, w = x.shape
    f, c_group, kh, kw = weight.shape
    oh, ow = grad_output.shape[2:]
    ph, pw = pair(padding)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    grad_padded = np.zeros_like(padded)
    grad_weight = np.zeros_like(weight)
    f_group = f // groups
    for g in range(groups):
        ins = slice(g * c_group, (g + 1) * c_group)
        outs = slice(g * f_group, (g + 1) * f_group)
        grad = grad_output[:, outs]
        for a in range(kh):
            for b in range(kw):
                rows, columns = windows(a, b, oh, ow, stride, dilation)
                grad_weight[outs, :, a, b] = np.einsum("nfij,ncij->fc", grad, padded[:, ins, rows, columns])
                grad_padded[:, ins, rows, columns] += np.einsum(
                    "nfij,fc->ncij", grad, weight[outs, :, kh - 1 - a, kw - 1 - b]
                )
    grad_x = grad_padded[:, :, ph : ph + h, pw : pw + w]
    grad_bias = grad_output.sum(axis=(0, 2, 3))
    return grad_x, grad_weight, grad_bias
