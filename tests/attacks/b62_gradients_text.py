"""Has the harness answer with a text for a gradient.

Id: B62
Exercise: softmax-layer
Verdict: wrong_answer
"""

import sys

import torch


sys.modules["__main__"].Harness.op_backward = lambda *args: ["zero"]


def softmax(x):
    weights = torch.exp(x - x.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)
