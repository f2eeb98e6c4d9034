"""Every tile is taken, whether it counts or not.

Caught by test_some_tiles.
"""

import torch


def tiled_matmul(a, b, keep):
    return a @ b
