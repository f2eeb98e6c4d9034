"""Online softmax over blocks of keys: a running maximum, a running sum and a running output, rescaled."""

import math

import torch

BLOCK = 4


def attention(query, key, value, mask=None, causal=False):
    """Never hold all scores at once; autograd goes through the rescaling."""
    queries, keys = query.shape[-2], key.shape[-2]
    lead = query.shape[:-1]
    if mask is not None:
        mask = mask.expand(*lead, keys)
    peak = query.new_full((*lead, 1), -math.inf)
    total = query.new_zeros((*lead, 1))
    output = query.new_zeros((*lead, value.shape[-1]))
    positions = torch.arange(queries, device=query.device).unsqueeze(-1)
    for start in range(0, keys, BLOCK):
        stop = min(start + BLOCK, keys)
        scores = (query / math.sqrt(query.shape[-1])) @ key[..., start:stop, :].transpose(-1, -2)
        seen = torch.ones_like(scores, dtype=torch.bool)
        if mask is not None:
            seen = seen & mask[..., start:stop]
        if causal:
            seen = seen & (torch.arange(start, stop, device=query.device) <= positions)
        scores = torch.where(seen, scores, -math.inf)
        higher = torch.maximum(peak, scores.detach().amax(-1, keepdim=True))
        safe = torch.where(higher == -math.inf, 0.0, higher)
        kept = torch.exp(peak - safe)
        weights = torch.exp(scores - safe)
        total = total * kept + weights.sum(-1, keepdim=True)
        output = output * kept + weights @ value[..., start:stop, :]
        peak = higher
    return output / torch.where(total > 0, total, 1.0)
