"""Looks through every descriptor it was born with for a file, a folder or a socket of the host.

Id: A07
Exercise: double
Verdict: accepted
"""

import os
import stat


class LEAKED(Exception):
    pass


for descriptor in range(1024):
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        continue
    target = os.readlink(f"/proc/self/fd/{descriptor}")
    if not (stat.S_ISFIFO(mode) or target == "/dev/null" or stat.S_ISSOCK(mode) and descriptor < 8):
        raise LEAKED(f"{descriptor} is {target}")
    try:
        os.stat("..", dir_fd=descriptor)
    except OSError:
        continue
    raise LEAKED(f"{descriptor} is a folder")


def double(x, factor=2.0):
    return factor * x
