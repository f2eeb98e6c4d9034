"""Sends UTF-16.

Id: B44
Exercise: double
Verdict: import_error
Sent: TEXT.encode("utf-16")
"""


def double(x, factor=2.0):
    return factor * x


