"""Recurses in C and in Python until something gives.

Id: B46
Exercise: double
Verdict: runtime_error or memory_limit_exceeded or time_limit_exceeded (stack, memory or time ends first)
"""

import sys

sys.setrecursionlimit(10**9)


class Deep:
    def __repr__(self):
        return repr(self)


def double(x, factor=2.0):
    return repr(Deep())
