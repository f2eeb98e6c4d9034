"""Lets a timer raise exceptions wherever the harness happens to be.

Id: B31
Exercise: double
Verdict: runtime_error
"""

import signal


def ring(*args):
    raise KeyboardInterrupt


def double(x, factor=2.0):
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for _ in range(10**7):
        pass
    return factor * x
