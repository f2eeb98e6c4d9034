"""Fills every folder it may write to with 1 GiB, and goes on when it is full.

Id: A49
Exercise: double
Verdict: accepted or memory_limit_exceeded (files of a tmpfs are memory: which limit is met first is the kernel's)
"""

import contextlib


class LEAKED(Exception):
    pass


BLOCK = bytes(1 << 20)
for folder in ("/tmp", "/dev/shm", ".", "/var/tmp", "/run", "/dev"):
    written = 0
    with contextlib.suppress(OSError):
        for number in range(128):
            with open(f"{folder}/block{number}", "wb", buffering=0) as file:
                for _ in range(8):
                    written += file.write(BLOCK)
    if written >= 1 << 30:
        raise LEAKED(folder)


def double(x, factor=2.0):
    return factor * x
