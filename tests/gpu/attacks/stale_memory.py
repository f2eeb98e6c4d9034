"""Returns memory that it has not written: what was there before is overwritten between calls.

Verdict: wrong_answer
"""

import torch

def fused_softmax(x, bias, scale=1.0):
    return torch.empty_like(x)
