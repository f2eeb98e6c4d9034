"""Sends a NUL byte in the middle.

Id: B44
Exercise: double
Verdict: import_error
Sent: TEXT + "y = 1\0\n"
"""


def double(x, factor=2.0):
    return factor * x


