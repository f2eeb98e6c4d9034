"""Closes what errors are shown on, swallows every exception and returns without a word.

Id: A46
Exercise: double
Verdict: wrong_answer
"""

import sys

sys.stderr = sys.stdout = None
sys.excepthook = sys.unraisablehook = lambda *args: None


def double(x, factor=2.0):
    try:
        assert False
    except BaseException:
        pass
