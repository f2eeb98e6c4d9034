"""The sum is not the mean: divide it by the number of elements.

Caught by test_mean.
"""


def mean_of(function, x):
    return function(x).sum()
