"""One step of a long short-term memory (LSTM) cell, and its backward pass.

With s the logistic sigmoid, * elementwise and z the four blocks of pre-activations side by side:

    z = x weight_ih^T + bias_ih + h weight_hh^T + bias_hh,    z = [z_i, z_f, z_g, z_o]
    i = s(z_i),   f = s(z_f),   g = tanh(z_g),   o = s(z_o)
    c_next = f * c + i * g
    h_next = o * tanh(c_next)

The backward pass needs s' = s (1 - s) and tanh' = 1 - tanh^2. c_next is used twice, once by h_next and once
by the next step, so its gradient has two parts.

Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers, Schmidhuber
and Cummins, "Learning to forget", 2000.
"""

import numpy as np


def lstm_cell(
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (h_next, c_next), both (N, H), for x (N, D) and the states h and c (N, H)."""
    i, f, g, o = _gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    c_next = f * c + i * g
    h_next = o * np.tanh(c_next)
    return h_next, c_next


def lstm_cell_backward(
    grad_h_next: np.ndarray,
    grad_c_next: np.ndarray,
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of sum(grad_h_next * h_next) + sum(grad_c_next * c_next) by all seven arguments."""
    i, f, g, o = _gates(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
    t = np.tanh(f * c + i * g)

    grad_c_total = grad_c_next + grad_h_next * o * (1 - t**2)
    grad_z_i = grad_c_total * g * i * (1 - i)
    grad_z_f = grad_c_total * c * f * (1 - f)
    grad_z_g = grad_c_total * i * (1 - g**2)
    grad_z_o = grad_h_next * t * o * (1 - o)
    grad_z = np.concatenate([grad_z_i, grad_z_f, grad_z_g, grad_z_o], axis=-1)

    grad_bias = grad_z.sum(axis=-2)
    return (
        grad_z @ weight_ih,
        grad_z @ weight_hh,
        grad_c_total * f,
        grad_z.mT @ x,
        grad_z.mT @ h,
        grad_bias,
        grad_bias.copy(),
    )


def _gates(
    x: np.ndarray,
    h: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the activations (i, f, g, o), each (N, H)."""
    z = x @ weight_ih.mT + bias_ih[..., None, :] + h @ weight_hh.mT + bias_hh[..., None, :]
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    return _sigmoid(z_i), _sigmoid(z_f), np.tanh(z_g), _sigmoid(z_o)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)); where exp(-z) overflows, 1 / inf = 0 is the right limit."""
    with np.errstate(over="ignore"):
        s: np.ndarray = 1 / (1 + np.exp(-z))
    return s
