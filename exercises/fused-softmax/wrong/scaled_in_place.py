"""x is scaled in place: the caller's tensor has changed.

Caught by test_arguments_stay_unchanged.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    z = x.mul_(scale) + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)
