"""Tiles of a are set to 0 in place: the caller's matrix has changed.

Caught by test_arguments_stay_unchanged.
"""

import torch


def tiled_matmul(a, b, keep):
    counts = keep.repeat_interleave(32, dim=0).repeat_interleave(32, dim=1)
    a[~counts] = 0
    return a @ b
