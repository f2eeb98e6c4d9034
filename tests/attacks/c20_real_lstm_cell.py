"""Right, with many parts and parameters.

Id: C20
Exercise: lstm-cell
Verdict: accepted
"""


import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    H = h.shape[1]
    z = []
    for k in range(4):
        rows = slice(k * H, (k + 1) * H)
        z.append(np.dot(x, weight_ih[rows].T) + np.dot(h, weight_hh[rows].T) + bias_ih[rows] + bias_hh[rows])
    return sigmoid(z[0]), sigmoid(z[1]), np.tanh(z[2]), sigmoid(z[3])


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    c_next = f * c + i * g
    return o * np.tanh(c_next), c_next


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    H = h.shape[1]
    i, f, g, o = gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    tc = np.tanh(f * c + i * g)
    do = grad_h_next * tc
    dc = grad_h_next * o * (1 - tc * tc) + grad_c_next
    di, df, dg = dc * g, dc * c, dc * i
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)]
    dx, dh = np.zeros_like(x), np.zeros_like(h)
    dwi, dwh = np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    db = np.zeros_like(bias_ih)
    for k in range(4):
        rows = slice(k * H, (k + 1) * H)
        dx += dz[k].dot(weight_ih[rows])
        dh += dz[k].dot(weight_hh[rows])
        dwi[rows] = dz[k].T.dot(x)
        dwh[rows] = dz[k].T.dot(h)
        db[rows] = np.sum(dz[k], axis=0)
    return dx, dh, dc * f, dwi, dwh, db, db
