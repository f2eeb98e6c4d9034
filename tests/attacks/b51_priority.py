"""Gives itself the highest priority and real-time scheduling, and leaves its processor.

Id: B51
Exercise: double
Verdict: accepted
"""

import contextlib
import os


class LEAKED(Exception):
    pass


with contextlib.suppress(OSError):
    os.nice(-10)
    raise LEAKED("priority")
with contextlib.suppress(OSError):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    raise LEAKED("real time")


def double(x, factor=2.0):
    return factor * x
