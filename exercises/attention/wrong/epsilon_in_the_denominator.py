"""A small constant in the denominator makes the weights sum to less than 1, which float64 shows.

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
    exps = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    weights = exps / (exps.sum(dim=-1, keepdim=True) + 1e-9)
    weights = weights.masked_fill(~allowed, 0)
    return weights @ value
