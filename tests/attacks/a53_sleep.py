"""Sleeps through the deadline.

Id: A53
Exercise: double
Verdict: time_limit_exceeded
"""

import time


def double(x, factor=2.0):
    time.sleep(30)
    return factor * x
