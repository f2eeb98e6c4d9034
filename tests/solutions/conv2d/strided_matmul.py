"""Channels last, one matrix product for each kernel position, groups by splitting and joining."""

import numpy as np


class _Geometry:
    """Where each kernel position looks."""

    def __init__(self, x, weight, stride, padding, dilation):
        self.sh, self.sw = stride if isinstance(stride, tuple) else (stride,) * 2
        self.ph, self.pw = padding if isinstance(padding, tuple) else (padding,) * 2
        self.dh, self.dw = dilation if isinstance(dilation, tuple) else (dilation,) * 2
        self.kh, self.kw = weight.shape[2:]
        self.hp, self.wp = x.shape[2] + 2 * self.ph, x.shape[3] + 2 * self.pw
        self.oh = (self.hp - self.dh * (self.kh - 1) - 1) // self.sh + 1
        self.ow = (self.wp - self.dw * (self.kw - 1) - 1) // self.sw + 1

    def positions(self):
        for a in range(self.kh):
            for b in range(self.kw):
                rows = a * self.dh + self.sh * np.arange(self.oh)
                cols = b * self.dw + self.sw * np.arange(self.ow)
                yield a, b, np.ix_(rows, cols)

    def pad(self, x):
        """(N, C, H, W) -> padded (HP, WP, N, C)."""
        p = np.zeros((self.hp, self.wp, *x.shape[:2]), x.dtype)
        p[self.ph : self.hp - self.ph, self.pw : self.wp - self.pw] = np.moveaxis(x, (2, 3), (0, 1))
        return p

    def crop(self, p):
        return np.moveaxis(p[self.ph : self.hp - self.ph, self.pw : self.wp - self.pw], (0, 1), (2, 3))


def _forward(x, weight, geometry):
    p = geometry.pad(x)
    out = sum(p[where] @ weight[:, :, a, b].T for a, b, where in geometry.positions())
    return np.moveaxis(out, (0, 1), (2, 3))


def _backward(grad_output, x, weight, geometry):
    p, grad = geometry.pad(x), np.moveaxis(grad_output, (2, 3), (0, 1))
    grad_p, grad_weight = np.zeros_like(p), np.empty_like(weight)
    flat = grad.reshape(-1, grad.shape[-1])
    for a, b, where in geometry.positions():
        grad_weight[:, :, a, b] = flat.T @ p[where].reshape(-1, p.shape[-1])
        grad_p[where] += grad @ weight[:, :, a, b]
    return geometry.crop(grad_p), grad_weight, flat.sum(axis=0)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    geometry = _Geometry(x, weight, stride, padding, dilation)
    pairs = zip(np.array_split(x, groups, axis=1), np.array_split(weight, groups))
    out = np.concatenate([_forward(*pair, geometry) for pair in pairs], axis=1)
    return out if bias is None else np.add(out, bias.reshape(-1, 1, 1))


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    geometry = _Geometry(x, weight, stride, padding, dilation)
    split = zip(np.array_split(grad_output, groups, 1), np.array_split(x, groups, 1), np.array_split(weight, groups))
    parts = [_backward(*one, geometry) for one in split]
    grad_x, grad_weight, grad_bias = zip(*parts)
    return np.concatenate(grad_x, axis=1), np.concatenate(grad_weight), np.concatenate(grad_bias)
