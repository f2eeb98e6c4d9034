"""Elements are read as if every row followed the one before: look at the strides.

Caught by test_any_memory_layout.
"""

import torch


def tiled_matmul(a, b, keep):
    counts = keep.repeat_interleave(32, dim=0).repeat_interleave(32, dim=1)
    a = torch.as_strided(a, a.shape, (a.shape[1], 1))
    return torch.where(counts, a, 0) @ b
