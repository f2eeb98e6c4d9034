"""Computes a power that Python cannot interrupt, with every signal blocked.

Id: A53
Exercise: double
Verdict: time_limit_exceeded
"""

import signal


def double(x, factor=2.0):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    return factor * x + 0 * len(str(7 ** (10**7) % 10**9))
