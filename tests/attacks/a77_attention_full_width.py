"""Spells the banned name in full-width letters, which Python reads as the plain ones.

Id: A77
Exercise: attention
Verdict: policy_violation
"""

import torch.nn.functional as F


def attention(query, key, value, mask=None, causal=False):
    return F.ｓｃａｌｅｄ_dot_product_attention(query, key, value, mask, is_causal=causal)
