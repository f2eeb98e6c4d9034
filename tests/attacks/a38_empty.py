"""Answers an array without elements, of which all are right.

Id: A38
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    return x[:0]
