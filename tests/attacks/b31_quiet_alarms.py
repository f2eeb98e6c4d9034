"""Lets a timer interrupt every system call of the harness, and answers right.

Id: B31
Exercise: double
Verdict: accepted
"""

import signal

signal.signal(signal.SIGALRM, lambda *args: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


def double(x, factor=2.0):
    return factor * x
