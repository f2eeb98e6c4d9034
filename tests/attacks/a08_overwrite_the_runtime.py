"""Opens the programs that run it, by way of /proc, to write into them.

Id: A08
Exercise: double
Verdict: accepted
"""

import os
import sys


class LEAKED(Exception):
    pass


paths = [sys.executable, "/proc/self/exe", "/sandbox/harness.py", os.__file__]
for number in os.listdir("/proc"):
    if number.isdigit():
        paths += [f"/proc/{number}/exe", f"/proc/{number}/root/etc/passwd", f"/proc/{number}/root/sandbox/x"]
for path in paths:
    for flags in (os.O_WRONLY | os.O_CREAT, os.O_RDWR):
        try:
            os.close(os.open(path, flags, 0o600))
        except OSError:
            continue
        raise LEAKED(path)


def double(x, factor=2.0):
    return factor * x
