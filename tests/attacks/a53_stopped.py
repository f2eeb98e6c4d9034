"""Stops its own process, which then uses no processor time at all.

Id: A53
Exercise: double
Verdict: time_limit_exceeded
"""

import os
import signal


def double(x, factor=2.0):
    os.kill(os.getpid(), signal.SIGSTOP)
    return factor * x
