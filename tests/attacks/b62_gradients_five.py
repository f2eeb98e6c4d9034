"""Has the harness answer with five gradients where one is wanted.

Id: B62
Exercise: softmax-layer
Verdict: wrong_answer
"""

import sys

import torch


sys.modules["__main__"].Harness.op_backward = lambda *args: [torch.zeros(3, 5)] * 5


def softmax(x):
    weights = torch.exp(x - x.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)
