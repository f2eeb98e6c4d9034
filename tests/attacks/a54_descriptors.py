"""Opens files until it is refused, at most 70,000.

Id: A54
Exercise: double
Verdict: accepted
"""

import os


class LEAKED(Exception):
    pass


try:
    for count in range(70_000):
        os.open("/dev/null", os.O_RDONLY)
    raise LEAKED("70,000 descriptors")
except OSError:
    pass


def double(x, factor=2.0):
    return factor * x
