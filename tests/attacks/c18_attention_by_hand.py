"""Writes attention itself, in a class called like PyTorch's, with softmax allowed.

Id: C18
Exercise: attention
Verdict: accepted
"""

import math

import torch


class MultiheadAttention(torch.nn.Module):
    """As F.scaled_dot_product_attention would, but by hand."""

    def forward(self, query, key, value, mask, causal):
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        allowed = torch.ones(scores.shape, dtype=torch.bool)
        if mask is not None:
            allowed = allowed & mask
        if causal:
            allowed = allowed.tril()
        blind = ~allowed.any(-1, keepdim=True)
        scores = scores.masked_fill(~allowed, -math.inf).masked_fill(blind, 0.0)
        return torch.softmax(scores, -1).masked_fill(blind, 0.0) @ value


layer = MultiheadAttention()


def attention(query, key, value, mask=None, causal=False):
    return layer(query, key, value, mask, causal)
