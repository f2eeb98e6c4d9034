"""Leaves a process behind, dies, and looks for it when it is loaded again in a new sandbox.

Id: A85
Exercise: double
Verdict: runtime_error
"""

import os
import time


class LEAKED(Exception):
    pass


seen = [pid for pid in filter(str.isdigit, os.listdir("/proc"))]
for pid in seen:
    try:
        name = open(f"/proc/{pid}/comm").read().strip()
    except OSError:
        continue
    if name == "survivor":
        raise LEAKED(pid)
if len(seen) > 6:
    raise LEAKED(f"{len(seen)} processes")
if os.fork() == 0:
    os.setsid()
    open("/proc/self/comm", "w").write("survivor")
    time.sleep(10)
    os._exit(0)


def double(x, factor=2.0):
    os._exit(1)
