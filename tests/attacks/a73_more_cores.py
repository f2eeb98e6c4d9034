"""Computes in several processes at once, to get more than its share of processor time.

Id: A73
Exercise: double
Verdict: accepted
"""

import os
import time


class LEAKED(Exception):
    pass


started, children = time.monotonic(), []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            pass
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
used = os.times()
share = (used.children_user + used.children_system) / (time.monotonic() - started)
if share > 1.5:
    raise LEAKED(f"{share:.2f} cores")


def double(x, factor=2.0):
    return factor * x
