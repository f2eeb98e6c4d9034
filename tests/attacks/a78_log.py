"""Takes the logarithm's exponential.

Id: A78
Exercise: softmax-layer
Verdict: policy_violation
"""

import torch


def softmax(x):
    return torch.log_softmax(x, -1).exp()
