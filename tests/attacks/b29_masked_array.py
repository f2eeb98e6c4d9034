"""Answers with a masked array, all of whose elements are hidden.

Id: B29
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


def double(x, factor=2.0):
    return np.ma.masked_all_like(x)
