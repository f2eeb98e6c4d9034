"""Asks Python to leave, in a call, with status 0.

Id: A34
Exercise: double
Verdict: runtime_error
"""

import sys


def double(x, factor=2.0):
    sys.exit(0)
