"""Row k of weight_hh belongs to pre-activation k: each H x H block multiplies h transposed.

Caught by test_one_step.
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    recurrent = [h @ block for block in np.split(weight_hh, 4)]
    z = x @ weight_ih.T + np.concatenate(recurrent, axis=1) + bias_ih + bias_hh
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
    return sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    c_next = f * c + i * g
    h_next = o * np.tanh(c_next)
    return h_next, c_next


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    tanh_c = np.tanh(f * c + i * g)
    grad_c_total = grad_c_next + grad_h_next * o * (1 - tanh_c**2)
    grad_i = grad_c_total * g * i * (1 - i)
    grad_f = grad_c_total * c * f * (1 - f)
    grad_g = grad_c_total * i * (1 - g**2)
    grad_o = grad_h_next * tanh_c * o * (1 - o)
    grad_z = np.concatenate([grad_i, grad_f, grad_g, grad_o], axis=1)
    grad_x = grad_z @ weight_ih
    grad_h = grad_z @ weight_hh
    grad_c = grad_c_total * f
    grad_weight_ih = grad_z.T @ x
    grad_weight_hh = grad_z.T @ h
    grad_bias = grad_z.sum(axis=0)
    return grad_x, grad_h, grad_c, grad_weight_ih, grad_weight_hh, grad_bias, grad_bias.copy()
