"""Calls the kernel with the numbers of the x32 ABI, which a list of numbers may not know.

Id: A13
Exercise: double
Verdict: runtime_error
"""

import ctypes


class LEAKED(Exception):
    pass


def double(x, factor=2.0):
    if ctypes.CDLL(None).syscall(0x40000000 | 39) > 0:
        raise LEAKED("x32")
    return factor * x
