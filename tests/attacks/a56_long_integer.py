"""Writes a literal of 200,000 digits, whose conversion takes quadratic time.

Id: A56
Exercise: double
Verdict: import_error
Sent: TEXT + "y = " + "9" * 200_000 + "\n"
"""


def double(x, factor=2.0):
    return factor * x
