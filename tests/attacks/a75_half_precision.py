"""Computes in half the precision it was given.

Id: A75
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


def double(x, factor=2.0):
    return (np.float32(factor) * x.astype(np.float32)).astype(x.dtype)
