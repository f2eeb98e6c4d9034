"""Starts a kernel that spins for years.

Verdict: time_limit_exceeded
"""

import torch

def fused_softmax(x, bias, scale=1.0):
    torch.cuda._sleep(1 << 62)
    return x * 1
