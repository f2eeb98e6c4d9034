"""Writes to standard error past Python, without end, from a thread, while it answers.

Id: A50
Exercise: double
Verdict: output_limit_exceeded
"""

import os
import threading
import time


def flood():
    for _ in range(4096):
        os.write(2, b"\xff" * (1 << 16))


threading.Thread(target=flood, daemon=True).start()
time.sleep(0.5)


def double(x, factor=2.0):
    return factor * x
