"""Prints through C and through descriptors, as honest students do, where a protocol might be.

Id: A89
Exercise: double
Verdict: accepted
"""

import ctypes
import os
import sys

libc = ctypes.CDLL(None)


def double(x, factor=2.0):
    libc.puts(b"one")
    libc.fflush(None)
    os.write(1, b"\x04\x00\x00\x00null")
    sys.__stdout__.write("two\n")
    print("three", file=sys.stderr, flush=True)
    return factor * x
