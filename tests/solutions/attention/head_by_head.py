"""One matrix at a time in a Python loop, keys that a query cannot see filled with the lowest finite number."""

import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, causal=False):
    """Flatten the leading dimensions, attend in each, stack."""
    lead = query.shape[:-2]
    (rows, width), columns = query.shape[-2:], key.shape[-2]
    allowed = torch.full((*lead, rows, columns), True, device=query.device)
    if mask is not None:
        allowed = allowed * mask
    if causal:
        allowed = allowed * (
            torch.arange(rows, device=query.device)[:, None] >= torch.arange(columns, device=query.device)[None, :]
        )
    outputs = []
    for q, k, v, see in zip(
        query.reshape(-1, rows, width),
        key.reshape(-1, columns, width),
        value.reshape(-1, columns, value.shape[-1]),
        allowed.reshape(-1, rows, columns),
        strict=True,
    ):
        scores = q.mm(k.t()) / width**0.5
        lowest = torch.finfo(scores.dtype).min
        weights = F.softmax(torch.where(see, scores, torch.full_like(scores, lowest)), dim=1)
        outputs.append((weights * see).mm(v))
    return torch.stack(outputs).reshape(*lead, rows, value.shape[-1])
