"""The largest score is taken before masking: with a hidden score far above, every allowed weight underflows to 0.

Caught by test_hidden_keys_with_extreme_scores, test_causal_hides_extreme_scores.
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
    exps = torch.exp(scores - scores.amax(dim=-1, keepdim=True)) * allowed
    total = exps.sum(dim=-1, keepdim=True)
    weights = exps / torch.where(allowed.any(dim=-1, keepdim=True), total, 1.0)
    weights = weights.masked_fill(~allowed, 0)
    return weights @ value
