"""Reads what only root may read, in case it was started as root.

Id: A15
Exercise: double
Verdict: accepted
"""

import os


class LEAKED(Exception):
    pass


if 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()):
    raise LEAKED("root")
for path in ("/etc/shadow", "/root", "/etc/gshadow", "/var/lib/docker", "/proc/1/root/root", "/etc/ssl/private"):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).read()
    except OSError:
        continue
    raise LEAKED(path)


def double(x, factor=2.0):
    return factor * x
