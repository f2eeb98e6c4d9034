"""The product of a matrix of which some tiles do not count.

    C[i] = sum_k keep[i, k] A[i, k] B[k]    with tiles A[i, k] of 32 x 32 elements, slabs B[k] of 32 rows

Source: S. Gray, A. Radford, D. P. Kingma, "GPU kernels for block-sparse weights", 2017, section 2.
"""

import torch

TILE = 32


def tiled_matmul(a, b, keep):
    """Return (a where keep says so, else 0) @ b.

    a: (M, K); b: (K, N), same dtype; keep: (M / 32, K / 32) bool. Returns (M, N) in the dtype of a.
    """
    counts = keep.repeat_interleave(TILE, dim=0).repeat_interleave(TILE, dim=1)
    return torch.where(counts, a, 0) @ b
