"""Python multiplies and adds number by number, many times as slowly: write the two products with `@`.

Caught by test_speed.
"""

import numpy as np


def product(a, b):
    columns = b.T.tolist()
    rows = [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a.tolist()]
    return np.array(rows, dtype=a.dtype)


def sigmoid(z):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    z = product(x, weight_ih.T) + bias_ih + product(h, weight_hh.T) + bias_hh
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    return sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    c_next = f * c + i * g
    return o * np.tanh(c_next), c_next


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    t = np.tanh(f * c + i * g)
    total = grad_c_next + grad_h_next * o * (1 - t**2)
    parts = [total * g * i * (1 - i), total * c * f * (1 - f), total * i * (1 - g**2), grad_h_next * t * o * (1 - o)]
    grad_z = np.concatenate(parts, axis=1)
    bias = grad_z.sum(axis=0)
    return grad_z @ weight_ih, grad_z @ weight_hh, total * f, grad_z.T @ x, grad_z.T @ h, bias, bias.copy()
