"""The softmax runs over the queries; the weights of one query over its keys must sum to 1 (the last axis).

Caught by test_no_mask, test_gradients.
"""

import math

import torch


def attention(query, key, value, mask=None, causal=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    rows, columns = scores.shape[-2:]
    allowed = torch.ones(rows, columns, dtype=torch.bool, device=query.device)
    if causal:
        allowed = torch.tril(allowed)
    if mask is not None:
        allowed = allowed & mask
    scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-2)
    weights = weights.masked_fill(~allowed, 0)
    return weights @ value
