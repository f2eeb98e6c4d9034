"""Elements are read as if every row followed the one before: look at the strides of x.

Caught by test_any_memory_layout.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    x = torch.as_strided(x, x.shape, (x.shape[1], 1))
    z = scale * x + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)
