"""The work is done in half precision: float32 has to be as accurate as float32 can be.

Caught by test_matches_the_definition.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    z = scale * x + bias
    exps = torch.exp((z - z.amax(dim=-1, keepdim=True)).to(torch.bfloat16)).to(x.dtype)
    return exps / exps.sum(dim=-1, keepdim=True)
