"""The scale is applied to query in place, which changes the caller's tensor.

Caught by test_arguments_stay_unchanged.
"""

import math

import torch


def attention(query, key, value, mask=None, causal=False):
    with torch.no_grad():
        query.mul_(1 / math.sqrt(query.shape[-1]))
    scores = query @ key.transpose(-2, -1)
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
