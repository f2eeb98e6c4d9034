"""Raises an exception whose text never ends.

Id: B24
Exercise: double
Verdict: time_limit_exceeded
"""

import time


class Slow(Exception):
    def __str__(self):
        time.sleep(30)
        return ""


def double(x, factor=2.0):
    raise Slow
