"""Kills itself as the kernel kills a process that took too much memory.

Id: B34
Exercise: double
Verdict: runtime_error
"""

import os
import signal


def double(x, factor=2.0):
    os.kill(os.getpid(), signal.SIGKILL)
