"""Every column sums to one: the softmax runs over the wrong axis, it has to run along a row.

Caught by test_matches_the_definition.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    z = scale * x + bias
    exps = torch.exp(z - z.amax(dim=0, keepdim=True))
    return exps / exps.sum(dim=0, keepdim=True)
