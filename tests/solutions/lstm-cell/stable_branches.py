"""The sigmoid in two branches that never overflow, tanh from it, and a small class for the step."""

import numpy as np


def sigmoid(z):
    out = np.empty_like(z)
    positive = z >= 0
    out[positive] = 1 / (1 + np.exp(-z[positive]))
    small = np.exp(z[~positive])
    out[~positive] = small / (1 + small)
    return out


def tanh(z):
    return 2 * sigmoid(2 * z) - 1


class Step:
    """The forward values of one step, kept for the backward pass."""

    def __init__(self, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
        z = np.matmul(x, weight_ih.transpose())
        z = z + np.matmul(h, weight_hh.transpose())
        z = z + bias_ih[np.newaxis, :] + bias_hh[np.newaxis, :]
        H = h.shape[1]
        self.i = sigmoid(z[:, 0:H])
        self.f = sigmoid(z[:, H : 2 * H])
        self.g = tanh(z[:, 2 * H : 3 * H])
        self.o = sigmoid(z[:, 3 * H : 4 * H])
        self.c_next = self.f * c + self.i * self.g
        self.tanh_c = tanh(self.c_next)
        self.h_next = self.o * self.tanh_c


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    step = Step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    return step.h_next, step.c_next


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    s = Step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    dc = grad_c_next + grad_h_next * s.o * (1 - s.tanh_c**2)
    dz = np.zeros((x.shape[0], 4 * h.shape[1]), dtype=x.dtype)
    H = h.shape[1]
    dz[:, :H] = dc * s.g * s.i * (1 - s.i)
    dz[:, H : 2 * H] = dc * c * s.f * (1 - s.f)
    dz[:, 2 * H : 3 * H] = dc * s.i * (1 - s.g**2)
    dz[:, 3 * H :] = grad_h_next * s.tanh_c * s.o * (1 - s.o)
    bias = np.ones(len(x), dtype=x.dtype) @ dz
    return dz @ weight_ih, dz @ weight_hh, dc * s.f, (x.T @ dz).T, (h.T @ dz).T, bias, bias
