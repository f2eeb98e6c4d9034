"""Hidden scores are set to -10000, and allowed ones can lie below that; use minus infinity or the lowest number.

Caught by test_hidden_keys_with_extreme_scores.
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
    scores = scores.masked_fill(~allowed, -1e4)
    weights = torch.softmax(scores, dim=-1)
    weights = weights.masked_fill(~allowed, 0)
    return weights @ value
