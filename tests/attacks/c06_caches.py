"""Caches by shape what depends on the shape alone.

Id: C06
Exercise: double
Verdict: accepted
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=None)
def ones(shape):
    return np.ones(shape)


def double(x, factor=2.0):
    return factor * x * ones(x.shape)
