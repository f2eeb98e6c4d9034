"""Chains 100,000 minus signs, each a node below the one before.

Id: A56
Exercise: double
Verdict: import_error
Sent: TEXT + "y = " + "-" * 100_000 + "1\n"
"""


def double(x, factor=2.0):
    return factor * x
