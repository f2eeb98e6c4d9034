"""The scale multiplies the bias too: it belongs to x alone.

Caught by test_bias_and_scale.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    z = scale * (x + bias)
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)
