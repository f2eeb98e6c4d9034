"""Takes most of the memory that it is allowed, call after call, and gives it back.

Id: C22
Exercise: timed
Verdict: accepted
"""

import numpy as np


def roots(x):
    room = np.empty((56 << 20) // 8)
    room[0] = 1
    return np.sqrt(x * x + 39 + room[0])
