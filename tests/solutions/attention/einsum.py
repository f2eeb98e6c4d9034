"""Every product an einsum, the softmax by hand; a row without keys divides 0 by 1."""

import torch


def attention(query, key, value, mask=None, causal=False):
    """Zero the weights that are not allowed after taking the exponential of safe scores."""
    rows, columns, width = query.size(-2), key.size(-2), query.size(-1)
    scores = torch.einsum("...le,...se->...ls", query, key) * width**-0.5
    hidden = torch.zeros(rows, columns, dtype=torch.bool, device=query.device)
    if mask is not None:
        hidden = hidden | ~mask
    if causal:
        hidden = hidden | (
            torch.arange(columns, device=query.device)[None, :] > torch.arange(rows, device=query.device)[:, None]
        )
    hidden = hidden.expand(scores.shape)
    scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True).detach()).masked_fill(hidden, 0)
    total = weights.sum(dim=-1, keepdim=True)
    weights = weights / torch.where(total == 0, torch.ones_like(total), total)
    return torch.einsum("...ls,...sv->...lv", weights, value)
