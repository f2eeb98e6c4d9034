"""Window views forward; backward, the gradient spread out by the stride meets the flipped kernel."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def both(option):
    return np.broadcast_to(option, 2).tolist()


def windows_of(image, kernel, stride, dilation):
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    view = sliding_window_view(image, reach, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    ph, pw = both(padding)
    image = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    parts = []
    for image_g, weight_g in zip(np.split(image, groups, 1), np.split(weight, groups, 0)):
        view = windows_of(image_g, weight.shape[2:], both(stride), both(dilation))
        parts.append(np.tensordot(view, weight_g, axes=[(1, 4, 5), (1, 2, 3)]).transpose(0, 3, 1, 2))
    out = np.concatenate(parts, axis=1)
    return out if bias is None else out + bias[None, :, None, None]


def conv2d_backward(grad_output, x, weight, stride=1, padding=0, dilation=1, groups=1):
    (sh, sw), (ph, pw), (dh, dw) = both(stride), both(padding), both(dilation)
    n, c, h, w = x.shape
    f, cg, kh, kw = weight.shape
    oh, ow = grad_output.shape[2:]
    image = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])

    # One gradient for every stride-1 position, 0 where no window started; then a full correlation.
    reach_h, reach_w = dh * (kh - 1), dw * (kw - 1)
    spread = np.zeros((n, f, h + 2 * ph - reach_h, w + 2 * pw - reach_w), grad_output.dtype)
    spread[:, :, : sh * (oh - 1) + 1 : sh, : sw * (ow - 1) + 1 : sw] = grad_output
    full = np.pad(spread, [(0, 0), (0, 0), (reach_h, reach_h), (reach_w, reach_w)])

    by_image, by_weight = [], []
    for g in range(groups):
        outs = slice(g * (f // groups), (g + 1) * (f // groups))
        flipped = weight[outs, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        by_image.append(conv2d(full[:, outs], flipped, dilation=(dh, dw)))
        view = windows_of(image[:, g * cg : (g + 1) * cg], (kh, kw), (sh, sw), (dh, dw))
        by_weight.append(np.einsum("nfij,ncijab->fcab", grad_output[:, outs], view))
    grad_x = np.concatenate(by_image, axis=1)[:, :, ph : ph + h, pw : pw + w]
    return grad_x, np.concatenate(by_weight), np.einsum("nfij->f", grad_output)
