"""Answers with a generator that never ends.

Id: B30
Exercise: double
Verdict: wrong_answer
"""

import itertools


def double(x, factor=2.0):
    return (factor * x for _ in itertools.count())
