"""One step of an LSTM cell and its gradients. See statement.md."""

import numpy as np


def lstm_cell(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """Return (h_next, c_next), the states after one step.

    x: (N, D); h, c: (N, H); weight_ih: (4H, D); weight_hh: (4H, H); bias_ih, bias_hh: (4H,);
    all float32 or all float64. The four blocks of H rows: input gate, forget gate, cell candidate, output gate.
    Returns two arrays (N, H) of the same dtype.
    """
    raise NotImplementedError


def lstm_cell_backward(grad_h_next, grad_c_next, x, h, c, weight_ih, weight_hh, bias_ih, bias_hh):
    """Return the gradients of the loss sum(grad_h_next * h_next) + sum(grad_c_next * c_next).

    grad_h_next, grad_c_next: (N, H); the other arguments as for lstm_cell.
    Returns (grad_x, grad_h, grad_c, grad_weight_ih, grad_weight_hh, grad_bias_ih, grad_bias_hh), each with
    the shape and the dtype of its argument.
    """
    raise NotImplementedError
