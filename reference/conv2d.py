"""Two-dimensional convolution, as deep-learning libraries define it: cross-correlation.

With x zero-padded by (ph, pw) into p, and output channel f in group g = f // (F // groups):

    out[n, f, i, j] = bias[f] + sum over c, a, b of
                      weight[f, c, a, b] * p[n, g * (C // groups) + c, i * sh + a * dh, j * sw + b * dw]

    OH = (H + 2 * ph - dh * (KH - 1) - 1) // sh + 1, and OW likewise.

The output is linear in x, in weight and in bias. The backward pass is the transposed map: each product
above sends the gradient of its output, times the other factor, to weight and to p.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> np.ndarray:
    """Return the convolution (N, F, OH, OW) of x (N, C, H, W) with weight (F, C // groups, KH, KW)."""
    p = _by_group(_padded(x, padding), groups, axis=-3)
    w = _by_group(weight, groups, axis=-4)
    (n, _, _, height, width), (f, _, kh, kw) = p.shape[-5:], weight.shape[-4:]
    oh, ow = _output_size((height, width), (kh, kw), stride, dilation)
    out = np.zeros((*x.shape[:-4], n, groups, f // groups, oh, ow), dtype=x.dtype)
    for a, b, rows, columns in _kernel_positions((kh, kw), (oh, ow), stride, dilation):
        out += np.einsum("...ngcij,...gfc->...ngfij", p[..., rows, columns], w[..., a, b])
    out = out.reshape(*x.shape[:-4], n, f, oh, ow)
    return out if bias is None else out + bias[..., None, :, None, None]


def conv2d_backward(
    grad_output: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of sum(grad_output * conv2d(x, weight, bias, ...)) by x, weight and bias."""
    p = _by_group(_padded(x, padding), groups, axis=-3)
    w = _by_group(weight, groups, axis=-4)
    grad = _by_group(grad_output, groups, axis=-3)
    grad_p, grad_w = np.zeros_like(p), np.zeros_like(w)
    sizes = weight.shape[-2:], grad_output.shape[-2:]
    for a, b, rows, columns in _kernel_positions(*sizes, stride, dilation):
        grad_p[..., rows, columns] += np.einsum("...ngfij,...gfc->...ngcij", grad, w[..., a, b])
        grad_w[..., a, b] = np.einsum("...ngfij,...ngcij->...gfc", grad, p[..., rows, columns])

    (height, width), (ph, pw) = x.shape[-2:], _pair(padding)
    grad_x = grad_p[..., ph : ph + height, pw : pw + width].reshape(x.shape)
    return grad_x, grad_w.reshape(weight.shape), grad_output.sum(axis=(-4, -2, -1))


def _pair(option: int | tuple[int, int]) -> tuple[int, int]:
    """Return the option for the height and for the width."""
    return (option, option) if isinstance(option, int) else (option[0], option[1])


def _padded(x: np.ndarray, padding: int | tuple[int, int]) -> np.ndarray:
    """Return x with zeros on all four sides."""
    ph, pw = _pair(padding)
    *outer, height, width = x.shape
    p = np.zeros((*outer, height + 2 * ph, width + 2 * pw), x.dtype)
    p[..., ph : ph + height, pw : pw + width] = x
    return p


def _by_group(array: np.ndarray, groups: int, axis: int) -> np.ndarray:
    """Return the array with its channel axis split in two: the group, and the channel within it."""
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def _output_size(
    padded: tuple[int, int],
    kernel: tuple[int, int],
    stride: int | tuple[int, int],
    dilation: int | tuple[int, int],
) -> tuple[int, int]:
    """Return (OH, OW): how many steps the spread-out kernel fits into the padded input."""
    (sh, sw), (dh, dw) = _pair(stride), _pair(dilation)
    return (padded[0] - dh * (kernel[0] - 1) - 1) // sh + 1, (padded[1] - dw * (kernel[1] - 1) - 1) // sw + 1


def _kernel_positions(
    kernel: tuple[int, ...],
    output: tuple[int, ...],
    stride: int | tuple[int, int],
    dilation: int | tuple[int, int],
) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield each position (a, b) of the kernel with the rows and columns of p that it meets."""
    (sh, sw), (dh, dw) = _pair(stride), _pair(dilation)
    for a, b in product(range(kernel[0]), range(kernel[1])):
        rows = slice(a * dh, a * dh + sh * (output[0] - 1) + 1, sh)
        columns = slice(b * dw, b * dw + sw * (output[1] - 1) + 1, sw)
        yield a, b, rows, columns
