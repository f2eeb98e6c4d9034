"""Reads far outside of a tensor: an assertion in a kernel fails, and the context is lost.

Verdict: runtime_error
"""

import torch

def fused_softmax(x, bias, scale=1.0):
    return x[torch.full((4,), 1 << 40, device=x.device)]
