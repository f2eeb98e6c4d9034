"""Answers infinity, from which every difference is infinite or NaN.

Id: A38
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


def double(x, factor=2.0):
    return np.full_like(x, np.inf)
