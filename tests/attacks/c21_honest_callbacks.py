"""Calls the judge's function several times, as finite differences do.

Id: C21
Exercise: mean-of
Verdict: accepted
"""


def mean_of(function, x):
    parts = [function(x) for _ in range(20)]
    return sum(part.mean() for part in parts) / 20
