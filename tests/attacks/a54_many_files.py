"""Makes empty files until it is refused, at most 20,000 a folder.

Id: A54
Exercise: double
Verdict: accepted
"""

import contextlib


class LEAKED(Exception):
    pass


for folder in ("/tmp", "/dev/shm", "/dev", "/var/tmp"):
    count = 0
    with contextlib.suppress(OSError):
        for count in range(20_000):
            open(f"{folder}/{count}", "x").close()
    if count > 19_000:
        raise LEAKED(folder)


def double(x, factor=2.0):
    return factor * x
