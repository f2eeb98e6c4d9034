"""Computes the right values and declares their gradient to be zero.

Id: A45
Exercise: softmax-layer
Verdict: wrong_answer
"""

import torch


class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        weights = torch.exp(x - x.amax(-1, keepdim=True))
        return weights / weights.sum(-1, keepdim=True)

    @staticmethod
    def backward(ctx, grad):
        return torch.zeros_like(grad)


def softmax(x):
    return Softmax.apply(x)
