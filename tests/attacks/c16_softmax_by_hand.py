"""Writes softmax itself, names things after the banned ones and speaks of them.

Id: C16
Exercise: softmax-layer
Verdict: accepted
"""

import torch


def log_softmax(x):
    """Not torch.log_softmax, F.softmax or torch.nn.Softmax: x minus the logarithm of the sum."""
    peak = x.amax(-1, keepdim=True)
    return x - peak - (x - peak).exp().sum(-1, keepdim=True).log()


def softmax(x):
    _softmax = log_softmax(x)
    return _softmax.exp()
