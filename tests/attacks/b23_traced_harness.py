"""Traces every line of the harness from a hook and changes what it is about to send.

Id: B23
Exercise: double
Verdict: wrong_answer
"""

import sys


def trace(frame, event, arg):
    if frame.f_code.co_name == "array" and event == "call":
        array = frame.f_locals.get("array")
        if array is not None and array.dtype == float and array.flags.writeable:
            array[:] = 1.0
    return trace


sys.setprofile(trace)


def double(x, factor=2.0):
    return factor * x
