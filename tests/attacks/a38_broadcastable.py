"""Answers shapes that broadcast against the right one.

Id: A38
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    return (factor * x)[None]
