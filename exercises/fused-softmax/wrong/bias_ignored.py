"""The bias is left out.

Caught by test_matches_the_definition.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    z = scale * x
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)
