"""The scale is left out.

Caught by test_bias_and_scale.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    z = x + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)
