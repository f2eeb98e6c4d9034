"""What does not count is multiplied by 0, and 0 times infinity is no number: replace it instead.

Caught by test_what_does_not_count_is_never_seen.
"""

import torch


def tiled_matmul(a, b, keep):
    counts = keep.repeat_interleave(32, dim=0).repeat_interleave(32, dim=1)
    return (a * counts) @ b
