"""One maximum is subtracted from all scores: rows far below it underflow to 0 / 0. Each row has its own maximum.

Caught by test_scores_with_a_large_common_part.
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
    exps = torch.exp(scores - scores.max()) * allowed
    weights = exps / exps.sum(dim=-1, keepdim=True).masked_fill(~allowed.any(dim=-1, keepdim=True), 1)
    weights = weights.masked_fill(~allowed, 0)
    return weights @ value
