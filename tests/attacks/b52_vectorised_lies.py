"""Answers with an array whose strides overlap and run backwards, over memory that changes.

Id: B52
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


def double(x, factor=2.0):
    return np.lib.stride_tricks.as_strided(factor * x, x.shape, (0,) * x.ndim)
