"""Closes every descriptor it has.

Id: B33
Exercise: double
Verdict: runtime_error or protocol_violation (whether the process still lives when the judge looks is a race)
"""

import os


def double(x, factor=2.0):
    os.closerange(0, 1 << 12)
    return factor * x
