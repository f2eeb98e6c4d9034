"""Looks through its mounts for folders of the host that it may write to.

Id: B42
Exercise: double
Verdict: accepted
"""

import os


class LEAKED(Exception):
    pass


for line in open("/proc/self/mountinfo"):
    root, place, options = line.split()[3:6]
    if "rw" in options.split(",") and place not in ("/tmp", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/proc", "/"):
        if os.path.isdir(place) and os.access(place, os.W_OK):
            raise LEAKED(place)


def double(x, factor=2.0):
    return factor * x
