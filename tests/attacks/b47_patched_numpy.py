"""Replaces NumPy's functions, which the harness uses to pack the answer.

Id: B47
Exercise: double
Verdict: wrong_answer or runtime_error (what the harness makes of the replaced function)
"""

import numpy as np

honest = np.ascontiguousarray
np.ascontiguousarray = lambda array, dtype=None: honest(np.zeros_like(array), dtype)


def double(x, factor=2.0):
    return factor * x
