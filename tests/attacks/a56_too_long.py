"""Sends 300 KiB, more than a submission may have.

Id: A56
Exercise: double
Verdict: import_error
Sent: TEXT + "#" * (300 << 10) + "\n"
"""


def double(x, factor=2.0):
    return factor * x
