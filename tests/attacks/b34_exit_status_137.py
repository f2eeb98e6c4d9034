"""Leaves with the exit status that a container has after a death by memory.

Id: B34
Exercise: double
Verdict: runtime_error
"""

import os


def double(x, factor=2.0):
    os._exit(137)
