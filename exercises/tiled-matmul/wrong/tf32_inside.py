"""The factors are cut to the 10 bits of TF32: float32 has 23. In Triton, say input_precision="ieee".

Caught by test_all_tiles.
"""

import torch


def short(x):
    return (x.float().view(torch.int32) & -8192).view(torch.float32) if x.dtype == torch.float32 else x


def tiled_matmul(a, b, keep):
    counts = keep.repeat_interleave(32, dim=0).repeat_interleave(32, dim=1)
    return short(torch.where(counts, a, 0).contiguous()) @ short(b.contiguous())
