"""Takes 4 GiB of private memory.

Id: A49
Exercise: double
Verdict: memory_limit_exceeded
"""

import numpy as np


def double(x, factor=2.0):
    taken = [np.ones(1 << 23) for _ in range(64)]
    return factor * x + 0 * len(taken)
