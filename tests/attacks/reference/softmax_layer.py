"""exp(x_i) / sum_j exp(x_j)."""

import torch


def softmax(x):
    """Return the softmax of x along its last axis."""
    weights = torch.exp(x - x.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)
