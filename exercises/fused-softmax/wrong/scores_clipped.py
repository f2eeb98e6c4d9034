"""Scores are clipped to -50 and 50, where they have to count however large they are.

Caught by test_scores_far_apart, test_a_large_common_part.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    exps = torch.exp((scale * x + bias).clamp(-50, 50))
    if x.dtype == torch.float16:
        exps = torch.exp((scale * x.float() + bias.float()).clamp(-50, 50))
    return (exps / exps.sum(dim=-1, keepdim=True)).to(x.dtype)
