"""Starts threads until it is refused, at most 500.

Id: A48
Exercise: double
Verdict: accepted
"""

import threading


class LEAKED(Exception):
    pass


threading.stack_size(64 << 10)
for count in range(500):
    try:
        threading.Thread(target=threading.Event().wait, args=(10,), daemon=True).start()
    except (RuntimeError, MemoryError):
        break
else:
    raise LEAKED("500 threads")


def double(x, factor=2.0):
    return factor * x
