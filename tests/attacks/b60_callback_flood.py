"""Calls the judge's function as often as it can.

Id: B60
Exercise: mean-of
Verdict: time_limit_exceeded
"""


def mean_of(function, x):
    while True:
        function(x)
