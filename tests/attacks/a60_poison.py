"""Crashes its process in every call, to wear out the worker.

Id: A60
Exercise: double
Verdict: runtime_error
"""

import os


def double(x, factor=2.0):
    os.abort()
