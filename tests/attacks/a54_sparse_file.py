"""Makes a file of 1 TiB that holds nothing, to see what becomes of whoever copies it.

Id: A54
Exercise: double
Verdict: accepted
"""

import os


class LEAKED(Exception):
    pass


file = os.open("/tmp/sparse", os.O_RDWR | os.O_CREAT)
try:
    os.ftruncate(file, 1 << 40)
except OSError:
    pass
else:
    raise LEAKED("1 TiB")


def double(x, factor=2.0):
    return factor * x
