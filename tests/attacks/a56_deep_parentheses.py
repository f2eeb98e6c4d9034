"""Nests 60,000 parentheses, against whoever parses by recursion.

Id: A56
Exercise: double
Verdict: import_error
Sent: TEXT + "y = " + "(" * 60_000 + "1" + ")" * 60_000 + "\n"
"""


def double(x, factor=2.0):
    return factor * x
