"""Uses no processor time at all, and takes as long as it likes.

Id: B67
Exercise: timed
Verdict: time_limit_exceeded
"""

import time

import numpy as np


def roots(x):
    time.sleep(len(x) * 2e-6)
    return np.sqrt(x * x + 40)
