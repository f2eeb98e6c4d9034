"""One matrix for [x, h, 1] side by side; sigmoid by the identity (1 + tanh(z / 2)) / 2."""

import numpy as np


def _stack(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    one = np.ones((len(x), 1), dtype=x.dtype)
    inputs = np.hstack([x, h, one, one])
    weights = np.hstack([weight_ih, weight_hh, bias_ih[:, None], bias_hh[:, None]])
    return inputs, weights


def _activate(inputs, weights, size):
    z = (inputs @ weights.T).reshape(len(inputs), 4, size)
    gate = 0.5 + 0.5 * np.tanh(0.5 * z)
    return gate[:, 0], gate[:, 1], np.tanh(z[:, 2]), gate[:, 3]


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    inputs, weights = _stack(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    i, f, g, o = _activate(inputs, weights, h.shape[1])
    c_next = f * c + i * g
    return [o * np.tanh(c_next), c_next]


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    inputs, weights = _stack(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    i, f, g, o = _activate(inputs, weights, h.shape[1])
    t = np.tanh(f * c + i * g)
    total = grad_c_next + grad_h_next * o * (1 - t) * (1 + t)
    grad_z = np.stack(
        [total * g * (i - i**2), total * c * (f - f**2), total * i * (1 - g) * (1 + g), grad_h_next * t * (o - o**2)],
        axis=1,
    ).reshape(len(x), -1)
    grad_inputs, grad_weights = grad_z @ weights, grad_z.T @ inputs
    d, size = x.shape[1], h.shape[1]
    by_h = slice(d, d + size)
    return [
        grad_inputs[:, :d],
        grad_inputs[:, by_h],
        total * f,
        grad_weights[:, :d],
        grad_weights[:, by_h],
        grad_weights[:, -2],
        grad_weights[:, -1],
    ]
