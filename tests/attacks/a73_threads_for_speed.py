"""Spreads the work of six over four threads.

Id: A73
Exercise: timed
Verdict: time_limit_exceeded
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np


def slow(x):
    for _ in range(240):
        x = np.sqrt(1 / 6 + x * x)
    return x


pool = ThreadPoolExecutor(4)


def roots(x):
    return np.concatenate(list(pool.map(slow, np.array_split(x, 4)))) if len(x) > 4 else slow(x)
