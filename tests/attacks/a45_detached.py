"""Cuts its output off from the graph, so that there is nothing to differentiate.

Id: A45
Exercise: softmax-layer
Verdict: wrong_answer
"""

import torch


def softmax(x):
    x = x.detach()
    weights = torch.exp(x - x.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)
