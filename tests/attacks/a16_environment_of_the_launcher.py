"""Reads the environment and the command line of every process it sees, for what the launcher had in them.

Id: A16
Exercise: double
Verdict: accepted
"""

import os


class LEAKED(Exception):
    pass


for number in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try:
            content = open(f"/proc/{number}/{name}", "rb").read()
        except OSError:
            continue
        for word in (b"corncrake", b"GRADER", b"VIRTUAL_ENV", b"SSH_", b"SUDO_", b"--ro-bind", b"/root", b"pytest"):
            if word in content:
                raise LEAKED(f"{number} {name} {word}")


def double(x, factor=2.0):
    return factor * x
