"""Adds 80,000 ones, a tree of that depth, against whoever walks it by recursion.

Id: A56
Exercise: double
Verdict: import_error or accepted (Python's own compiler decides how deep a sum may be)
Sent: TEXT + "y = " + "1+" * 80_000 + "1\n"
"""


def double(x, factor=2.0):
    return factor * x
