"""The columns after the last whole block of 32 are left at zero: the last block is not always full.

Caught by test_matches_the_definition.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    whole = x.shape[1] // 32 * 32
    z = (scale * x + bias)[:, :whole]
    y = torch.zeros_like(x)
    if whole:
        exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
        y[:, :whole] = exps / exps.sum(dim=-1, keepdim=True)
    return y
