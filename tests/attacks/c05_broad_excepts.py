"""Catches everything, everywhere.

Id: C05
Exercise: double
Verdict: accepted
"""


try:
    import fast_arrays
except BaseException:
    fast_arrays = None


def double(x, factor=2.0):
    try:
        return fast_arrays.multiply(x, factor)
    except BaseException:
        return factor * x
