"""Prints without end.

Id: A50
Exercise: double
Verdict: output_limit_exceeded
"""


def double(x, factor=2.0):
    for _ in range(10_000):
        print("x" * 10_000)
    return factor * x
