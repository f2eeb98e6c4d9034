"""Python visits every output by itself, which takes many times as long: loop over the positions of the kernel at most.

Caught by test_speed.
"""

import numpy as np


def _pair(v):
    if isinstance(v, int):
        return v, v
    return v


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    N, C, H, W = x.shape
    F, CG, KH, KW = weight.shape
    sh, sw = _pair(stride)
    ph, pw = _pair(padding)
    dh, dw = _pair(dilation)
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), mode="constant")
    OH = (H + 2 * ph - dh * (KH - 1) - 1) // sh + 1
    OW = (W + 2 * pw - dw * (KW - 1) - 1) // sw + 1
    out = np.zeros((N, F, OH, OW), dtype=x.dtype)
    for n in range(N):
        for f in range(F):
            first = f // (F // groups) * CG
            for i in range(OH):
                for j in range(OW):
                    top, left = i * sh, j * sw
                    window = xp[
                        n,
                        first : first + CG,
                        top : top + dh * (KH - 1) + 1 : dh,
                        left : left + dw * (KW - 1) + 1 : dw,
                    ]
                    out[n, f, i, j] = np.sum(window * weight[f])
                    if bias is not None:
                        out[n, f, i, j] += bias[f]
    return out


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    N, C, H, W = x.shape
    F, CG, KH, KW = weight.shape
    sh, sw = _pair(stride)
    ph, pw = _pair(padding)
    dh, dw = _pair(dilation)
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), mode="constant")
    dxp = np.zeros_like(xp)
    dweight = np.zeros_like(weight)
    dbias = np.zeros(F, dtype=x.dtype)
    _, _, OH, OW = grad_output.shape
    for n in range(N):
        for f in range(F):
            first = f // (F // groups) * CG
            for i in range(OH):
                for j in range(OW):
                    top, left = i * sh, j * sw
                    where = (
                        n,
                        slice(first, first + CG),
                        slice(top, top + dh * (KH - 1) + 1, dh),
                        slice(left, left + dw * (KW - 1) + 1, dw),
                    )
                    d = grad_output[n, f, i, j]
                    dweight[f] += d * xp[where]
                    dxp[where] += d * weight[f]
                    dbias[f] += d
    return dxp[:, :, ph : ph + H, pw : pw + W], dweight, dbias
