"""Takes memory in twenty processes, each within the limit of one.

Id: B36
Exercise: double
Verdict: accepted or memory_limit_exceeded or runtime_error or time_limit_exceeded (the kernel chooses which process dies, and how long it takes)
"""

import os
import time

import numpy as np


class LEAKED(Exception):
    pass


def double(x, factor=2.0):
    ready, children = os.pipe(), []
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            held = np.ones(10 << 20)
            os.write(ready[1], b"x")
            time.sleep(2)
            os._exit(int(held[0]) - 1)
        children.append(pid)
    time.sleep(0.3)
    os.set_blocking(ready[0], False)
    try:
        dead = sum(os.waitpid(pid, os.WNOHANG)[0] != 0 for pid in children)
        if len(os.read(ready[0], 64)) - dead > 12:  # the kernel may have ended one child for another's sake
            raise LEAKED("1 GiB in children")
    except BlockingIOError:
        pass
    return factor * x
