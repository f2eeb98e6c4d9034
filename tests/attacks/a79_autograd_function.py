"""Calls within a custom function, in inference mode, where autograd's keys are off.

Id: A79
Exercise: softmax-layer
Verdict: policy_violation
"""

import torch


class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        with torch.inference_mode():
            y = torch.softmax(x, -1)
        y = y.clone()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return y * (grad - (grad * y).sum(-1, keepdim=True))


def softmax(x):
    return Softmax.apply(x)
