"""Writes an f-string with 15,000 fields.

Id: A56
Exercise: double
Verdict: accepted or import_error (Python's own compiler decides how many fields a string may have)
Sent: TEXT + "y = f'" + "{1}" * 15_000 + "'\n"
"""


def double(x, factor=2.0):
    return factor * x
