"""Answers with complex numbers of the right value.

Id: B29
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    return factor * x + 0j
