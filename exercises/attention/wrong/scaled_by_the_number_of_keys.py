"""The scale is the square root of the number of keys; it is sqrt(E), from the width of query and key.

Caught by test_no_mask, test_gradients.
"""

import math

import torch


def attention(query, key, value, mask=None, causal=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-2])
    rows, columns = scores.shape[-2:]
    allowed = torch.ones(rows, columns, dtype=torch.bool, device=query.device)
    if causal:
        allowed = torch.tril(allowed)
    if mask is not None:
        allowed = allowed & mask
    scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    weights = weights.masked_fill(~allowed, 0)
    return weights @ value
