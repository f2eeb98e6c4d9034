"""A loop over the batch, sums written with einsum, tanh' as 1 / cosh^2, sigmoid by log(1 + exp)."""

import numpy as np


def _sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))


def _sample(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    z = np.einsum("kd,d->k", weight_ih, x) + np.einsum("kj,j->k", weight_hh, h) + (bias_ih + bias_hh)
    z = z.reshape(4, -1)
    return z, _sigmoid(z), np.tanh(z[2])


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    h_next, c_next = np.empty_like(h), np.empty_like(c)
    for n in range(x.shape[0]):
        _, s, g = _sample(x[n], h[n], c[n], weight_ih, weight_hh, bias_ih, bias_hh)
        c_next[n] = s[1] * c[n] + s[0] * g
        h_next[n] = s[3] * np.tanh(c_next[n])
    return h_next, c_next


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    parameters = (weight_ih, weight_hh, bias_ih, bias_hh)
    by_state = [np.empty_like(array) for array in (x, h, c)]
    by_parameter = [np.zeros_like(array) for array in parameters]
    for n in range(x.shape[0]):
        z, s, g = _sample(x[n], h[n], c[n], *parameters)
        slope = s * _sigmoid(-z)
        c_next = s[1] * c[n] + s[0] * g
        with np.errstate(over="ignore"):
            dc = grad_c_next[n] + grad_h_next[n] * s[3] / np.cosh(c_next) ** 2
            dg = dc * s[0] / np.cosh(z[2]) ** 2
        do = grad_h_next[n] * np.tanh(c_next) * slope[3]
        dz = np.concatenate([dc * g * slope[0], dc * c[n] * slope[1], dg, do])
        by_state[0][n] = np.einsum("k,kd->d", dz, weight_ih)
        by_state[1][n] = np.einsum("k,kj->j", dz, weight_hh)
        by_state[2][n] = dc * s[1]
        by_parameter[0] += np.outer(dz, x[n])
        by_parameter[1] += np.outer(dz, h[n])
        by_parameter[2] += dz
        by_parameter[3] += dz
    return (*by_state, *by_parameter)
