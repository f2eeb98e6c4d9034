"""Answers zeros of the right shape and dtype.

Id: A41
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


def double(x, factor=2.0):
    return np.zeros_like(x)
