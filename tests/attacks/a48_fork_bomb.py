"""Forks until it is refused, at most 500 times, each child in a session of its own.

Id: A48
Exercise: double
Verdict: accepted
"""

import os
import time


class LEAKED(Exception):
    pass


for count in range(500):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        os.setsid()
        time.sleep(10)
        os._exit(0)
else:
    raise LEAKED("500 processes")


def double(x, factor=2.0):
    return factor * x
