"""Fills anonymous files, which stand in no folder, with 2 GiB.

Id: A49
Exercise: double
Verdict: accepted or memory_limit_exceeded (a limit on a file's size may stop each before the kernel counts their sum)
"""

import os


class LEAKED(Exception):
    pass


files = []


def double(x, factor=2.0):
    written = 0
    block = bytes(1 << 20)
    try:
        for _ in range(256):
            files.append(os.memfd_create("x"))
            for _ in range(8):
                written += os.write(files[-1], block)
    except OSError:
        pass
    if written >= 2 << 30:
        raise LEAKED(written)
    return factor * x
