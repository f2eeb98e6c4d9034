"""Gather every window into a column by index arrays, multiply matrices, scatter the columns back."""

import numpy as np


def _two(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _indices(size, k, stride, pad, dil):
    """Rows (or columns) of the padded input, as (k, out)."""
    out = (size + 2 * pad - dil * (k - 1) - 1) // stride + 1
    return dil * np.arange(k)[:, None] + stride * np.arange(out)[None, :]


def _im2col(x, kh, kw, stride, padding, dilation):
    (sh, sw), (ph, pw), (dh, dw) = _two(stride), _two(padding), _two(dilation)
    n, c, h, w = x.shape
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), dtype=x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    rows = _indices(h, kh, sh, ph, dh)[:, None, :, None]
    cols = _indices(w, kw, sw, pw, dw)[None, :, None, :]
    return padded, rows, cols, padded[:, :, rows, cols]  # (N, C, KH, KW, OH, OW)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    f, cg, kh, kw = weight.shape
    _, _, _, windows = _im2col(x, kh, kw, stride, padding, dilation)
    n, oh, ow = x.shape[0], windows.shape[-2], windows.shape[-1]
    columns = windows.reshape(n, groups, cg * kh * kw, oh * ow)
    kernels = weight.reshape(groups, f // groups, cg * kh * kw)
    out = (kernels @ columns).reshape(n, f, oh, ow)
    if bias is not None:
        out = out + bias.reshape(1, f, 1, 1)
    return out


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    f, cg, kh, kw = weight.shape
    n, c, h, w = x.shape
    ph, pw = _two(padding)
    padded, rows, cols, windows = _im2col(x, kh, kw, stride, padding, dilation)
    columns = windows.reshape(n, groups, cg * kh * kw, -1)
    kernels = weight.reshape(groups, f // groups, cg * kh * kw)
    grad = grad_output.reshape(n, groups, f // groups, -1)
    grad_weight = (grad @ columns.swapaxes(-1, -2)).sum(axis=0).reshape(weight.shape)
    grad_windows = (kernels.swapaxes(-1, -2) @ grad).reshape(windows.shape)
    grad_padded = np.zeros_like(padded)
    np.add.at(grad_padded, (slice(None), slice(None), rows, cols), grad_windows)
    return grad_padded[:, :, ph : ph + h, pw : pw + w], grad_weight, grad_output.sum((0, 2, 3))
