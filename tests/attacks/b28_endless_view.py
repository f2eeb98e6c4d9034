"""Answers with a view of 10**12 elements that takes 8 bytes.

Id: B28
Exercise: double
Verdict: output_limit_exceeded
"""

import numpy as np


def double(x, factor=2.0):
    return np.broadcast_to(1.0, (10**6, 10**6))
