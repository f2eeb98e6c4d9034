"""Answers with an empty tensor whose other dimensions overflow in a wider type.

Id: B28
Exercise: softmax-layer
Verdict: wrong_answer or protocol_violation (the judge may refuse such dimensions before it compares shapes)
"""

import torch


def softmax(x):
    return (torch.empty((0, 1 << 30, 1 << 30), dtype=torch.bfloat16) + 0 * x.sum()).requires_grad_()
