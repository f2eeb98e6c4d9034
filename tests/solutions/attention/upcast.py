"""bfloat16 computed in float32 and rounded once at the end; every softmax by log-sum-exp."""

import torch


def attention(query, key, value, mask=None, causal=False):
    """Compute in at least float32; where a row has no key, choose zeros over the sanitised rest."""
    dtype = query.dtype
    wide = torch.promote_types(dtype, torch.float32)
    query, key, value = (tensor.to(wide) for tensor in (query, key, value))
    scores = torch.matmul(query, key.mT) / torch.sqrt(torch.tensor(query.shape[-1], dtype=wide, device=query.device))
    allowed = torch.ones_like(scores, dtype=torch.bool)
    if causal:
        allowed = allowed & torch.ones_like(scores, dtype=torch.bool).tril(diagonal=0)
    if mask is not None:
        allowed = allowed & mask
    any_key = allowed.any(dim=-1, keepdim=True)
    open_rows = allowed | ~any_key
    scores = scores.masked_fill(~open_rows, float("-inf"))
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    output = torch.where(any_key, weights @ value, torch.zeros((), dtype=wide, device=query.device))
    return output.to(dtype)
