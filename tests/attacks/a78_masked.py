"""Uses the masked kernel with a mask that hides nothing.

Id: A78
Exercise: softmax-layer
Verdict: policy_violation
"""

import torch


def softmax(x):
    return torch._masked_softmax(x, torch.zeros_like(x, dtype=torch.bool), -1)
