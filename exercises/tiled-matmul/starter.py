"""A tiled matrix product."""

import torch

TILE = 32


def tiled_matmul(a, b, keep):
    """Return the product of a, without the tiles that do not count, and b.

    a       (M, K) tensor: float32, float16 or bfloat16; M and K are multiples of 32
    b       (K, N) tensor of the same dtype
    keep    (M / 32, K / 32) bool tensor: which tiles of a count

    Returns an (M, N) tensor of the dtype of a, on its device.
    """
    raise NotImplementedError
