"""Raises an exception whose text ends the process with status 0.

Id: B24
Exercise: double
Verdict: runtime_error
"""

import os


class Leaving(BaseException):
    def __str__(self):
        os._exit(0)


def double(x, factor=2.0):
    raise Leaving
