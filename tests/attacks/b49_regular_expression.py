"""Matches an expression that takes exponential time, holding the interpreter's lock.

Id: B49
Exercise: double
Verdict: time_limit_exceeded
"""

import re


def double(x, factor=2.0):
    re.match(r"(a+)+$", "a" * 60 + "b")
    return factor * x
