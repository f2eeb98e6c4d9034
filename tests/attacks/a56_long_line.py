"""Sends a line of 250,000 characters.

Id: A56
Exercise: double
Verdict: accepted
Sent: TEXT + "y = '" + "x" * 250_000 + "'\n"
"""


def double(x, factor=2.0):
    return factor * x
