"""Has the harness answer a recorded call with something else.

Id: B62
Exercise: softmax-layer
Verdict: protocol_violation
"""

import sys

import torch


sys.modules["__main__"].Harness.record = lambda *args: [1, 2, 3]


def softmax(x):
    weights = torch.exp(x - x.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)
