"""Rows are taken one by one, in Python: let one kernel, or one operation, take them all.

Caught by test_speed.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    y = torch.empty_like(x)
    for i in range(len(x)):
        for _ in range(4):
            z = scale * x[i] + bias
            exps = torch.exp(z - z.amax())
            y[i] = exps / exps.sum()
    return y
