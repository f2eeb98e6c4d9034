"""Scaled dot-product attention with masks.

    scores[i, j] = query_i . key_j / sqrt(E)
    weights[i, j] = exp(scores[i, j]) / sum of exp(scores[i, k]) over the keys k that query i may look at
                    (0 for every other key; all 0 where there is no such key)
    output_i = sum_j weights[i, j] value_j

Source: Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.1.
"""

import math

import torch


def attention(query, key, value, mask=None, causal=False):
    """Return softmax(query key^T / sqrt(E)) value over the keys each query may look at.

    query: (..., L, E); key: (..., S, E); value: (..., S, V); leading dimensions equal.
    mask: bool, broadcasts to (..., L, S), True where a query may look at a key. causal: query i sees keys j <= i.
    Returns (..., L, V) in the dtype of the inputs; zeros for a query that may look at no key.
    """
    scores = query @ key.mT / math.sqrt(query.shape[-1])

    allowed = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
    if mask is not None:
        allowed = allowed & mask
    if causal:
        allowed = allowed.tril()

    # A row of nothing but -inf would make NaN, forward and backward: rows without a key stay finite up to the end.
    blind = ~allowed.any(dim=-1, keepdim=True)
    scores = scores.masked_fill(~allowed, -math.inf).masked_fill(blind, 0.0)
    exps = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    weights = (exps / exps.sum(dim=-1, keepdim=True)).masked_fill(blind, 0.0)
    return weights @ value
