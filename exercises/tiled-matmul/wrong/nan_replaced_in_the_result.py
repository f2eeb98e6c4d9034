"""Infinities are replaced in the result, where they have swallowed what counts: leave the tile out before the product.

Caught by test_what_does_not_count_is_never_seen.
"""

import torch


def tiled_matmul(a, b, keep):
    counts = keep.repeat_interleave(32, dim=0).repeat_interleave(32, dim=1)
    return torch.nan_to_num((a * counts) @ b)
