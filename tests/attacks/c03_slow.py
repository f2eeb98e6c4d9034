"""Slow but right: within the limits of a call and of the judging.

Id: C03
Exercise: double
Verdict: accepted
"""

import time


time.sleep(0.5)


def double(x, factor=2.0):
    time.sleep(0.15)
    return factor * x
