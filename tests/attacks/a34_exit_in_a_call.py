"""Ends the process with status 0 in the first call.

Id: A34
Exercise: double
Verdict: runtime_error
"""

import os


def double(x, factor=2.0):
    os._exit(0)
