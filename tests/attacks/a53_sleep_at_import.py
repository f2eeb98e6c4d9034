"""Sleeps while it is imported, where a limit on calls does not count.

Id: A53
Exercise: double
Verdict: time_limit_exceeded
"""

import time

time.sleep(30)


def double(x, factor=2.0):
    return factor * x
