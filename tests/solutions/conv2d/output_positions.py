"""A loop over the positions of the output; all images and channels of a group at once."""

import numpy as np


def _pair(v):
    return (v, v) if isinstance(v, int) else v


def _windows(weight, size, stride, dilation):
    """Yield each output position with the rows and columns of the padded input under its window."""
    (sh, sw), (dh, dw) = _pair(stride), _pair(dilation)
    kh, kw = weight.shape[2:]
    for i in range(size[0]):
        rows = slice(i * sh, i * sh + dh * (kh - 1) + 1, dh)
        for j in range(size[1]):
            yield i, j, rows, slice(j * sw, j * sw + dw * (kw - 1) + 1, dw)


def _size(x, weight, stride, padding, dilation):
    options = zip(x.shape[2:], weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation), strict=True)
    return tuple((length + 2 * p - d * (k - 1) - 1) // s + 1 for length, k, s, p, d in options)


def _pad(x, padding):
    ph, pw = _pair(padding)
    return np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    size = _size(x, weight, stride, padding, dilation)
    out = np.empty((len(x), len(weight), *size), dtype=x.dtype)
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    p = _pad(x, padding)
    for i, j, rows, columns in _windows(weight, size, stride, dilation):
        patch = p[:, :, rows, columns].reshape(len(x), groups, -1, 1)
        out[:, :, i, j] = (kernels @ patch).reshape(len(x), -1)
    return out if bias is None else out + bias[:, None, None]


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    (ph, pw), (n, c, h, w) = _pair(padding), x.shape
    p = _pad(x, padding)
    grad_p = np.zeros_like(p)
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    grad_kernels = np.zeros_like(kernels)
    for i, j, rows, columns in _windows(weight, grad_output.shape[2:], stride, dilation):
        patch = p[:, :, rows, columns]
        grad = grad_output[:, :, i, j].reshape(n, groups, -1)
        grad_kernels += np.einsum("ngf,ngk->gfk", grad, patch.reshape(n, groups, -1))
        grad_p[:, :, rows, columns] += (grad[:, :, None] @ kernels).reshape(patch.shape)
    return grad_p[:, :, ph : ph + h, pw : pw + w], grad_kernels.reshape(weight.shape), grad_output.sum(axis=(0, 2, 3))
