"""Takes all memory of the GPU, and more.

Verdict: memory_limit_exceeded
"""

import torch

def fused_softmax(x, bias, scale=1.0):
    kept = []
    while True:
        kept.append(torch.empty(1 << 30, dtype=torch.uint8, device=x.device))
