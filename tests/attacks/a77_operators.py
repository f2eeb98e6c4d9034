"""Calls the operator through torch.ops, below the functions.

Id: A77
Exercise: softmax-layer
Verdict: policy_violation
"""

import torch


def softmax(x):
    return torch.ops.aten._softmax.default(x, -1, False)
