"""Divides by zero on the way, warns, and is right in the end.

Id: C09
Exercise: double
Verdict: accepted
"""

import warnings

import numpy as np


def double(x, factor=2.0):
    warnings.warn('slow', RuntimeWarning)
    return np.where(np.isfinite(x / 0.0), x, factor * x)
