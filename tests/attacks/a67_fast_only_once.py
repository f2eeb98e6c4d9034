"""Is quick in its first dozen calls, and then takes six times as long as the reference.

Id: A67
Exercise: timed
Verdict: time_limit_exceeded
"""

import numpy as np


def slow(x):
    for _ in range(240):
        x = np.sqrt(1 / 6 + x * x)
    return x


calls = []


def roots(x):
    calls.append(len(x))
    return np.sqrt(x * x + 40) if len(calls) < 12 else slow(x)
