"""Registers handlers that answer when the process ends.

Id: B32
Exercise: double
Verdict: runtime_error
"""

import atexit
import os
import signal
import sys


def confess(*args):
    os.write(2, b"accepted: 3 of 3 points\n")
    os._exit(0)


atexit.register(confess)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGINT):
    signal.signal(number, confess)


def double(x, factor=2.0):
    os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(0)
