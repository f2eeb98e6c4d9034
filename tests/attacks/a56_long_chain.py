"""Chains 60,000 attributes, a tree of that depth.

Id: A56
Exercise: double
Verdict: import_error or accepted (Python's own compiler decides how deep a chain may be)
Sent: TEXT + "if factor:\n    y = x" + ".T" * 60_000 + "\n"
"""

factor = 0


def double(x, factor=2.0):
    return factor * x
