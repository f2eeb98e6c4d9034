"""Asks for core files and crashes.

Id: B50
Exercise: double
Verdict: runtime_error
"""

import contextlib
import os
import resource


def double(x, factor=2.0):
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    os.chdir("/tmp")
    os.abort()
