"""Calls PyTorch's attention by its plain name.

Id: A77
Exercise: attention
Verdict: policy_violation
"""

import torch.nn.functional as F


def attention(query, key, value, mask=None, causal=False):
    return F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
