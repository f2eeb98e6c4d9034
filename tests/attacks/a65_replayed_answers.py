"""Replays the first answer for every later argument of the same shape.

Id: A65
Exercise: double
Verdict: wrong_answer
"""

cache = {}


def double(x, factor=2.0):
    return cache.setdefault((x.shape, x.dtype, factor), factor * x)
