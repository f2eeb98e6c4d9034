"""Raises its own limits before it takes memory.

Id: B35
Exercise: double
Verdict: memory_limit_exceeded
"""

import contextlib
import resource

import numpy as np

for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
    for value in ((resource.RLIM_INFINITY,) * 2, (1 << 40, 1 << 40)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, value)


def double(x, factor=2.0):
    taken = [np.ones(1 << 22) for _ in range(32)]
    return factor * x + 0 * len(taken)
