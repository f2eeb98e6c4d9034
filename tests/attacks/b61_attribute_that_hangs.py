"""Hangs when its attribute is looked at.

Id: B61
Exercise: total
Verdict: time_limit_exceeded
"""

import time


class Total:
    def __init__(self, start):
        pass

    def __getattr__(self, name):
        time.sleep(30)

    def add(self, x):
        pass
