"""Sends bytes that are no UTF-8 behind a line that declares another encoding.

Id: B44
Exercise: double
Verdict: import_error
Sent: b"# -*- coding: latin-1 -*-\n" + TEXT.encode() + b"y = '\xe9\xff'\n"
"""


def double(x, factor=2.0):
    return factor * x


