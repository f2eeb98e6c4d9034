"""The last column of every tile is left out.

Caught by test_all_tiles.
"""

import torch


def tiled_matmul(a, b, keep):
    counts = keep.repeat_interleave(32, dim=0).repeat_interleave(32, dim=1)
    inside = torch.arange(a.shape[1], device=a.device) % 32 < 31
    return torch.where(counts & inside, a, 0) @ b
