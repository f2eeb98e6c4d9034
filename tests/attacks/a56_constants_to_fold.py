"""Writes constants whose folding would take all memory and time.

Id: A56
Exercise: double
Verdict: time_limit_exceeded or memory_limit_exceeded (whichever the computation meets first)
"""

y = 3 ** 9 ** 9 % 7
z = ((1 << 60_000) << 60_000 << 60_000, "x" * 4000 * 4000 * 4000)


def double(x, factor=2.0):
    return factor * x
