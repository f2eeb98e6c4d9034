"""Reads an address that is not there.

Id: B46
Exercise: double
Verdict: runtime_error
"""

import ctypes


def double(x, factor=2.0):
    return ctypes.string_at(8)
