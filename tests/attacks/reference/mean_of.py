"""sum_i f(x)_i / n."""

import numpy as np


def mean_of(function, x):
    """Return the mean of function(x)."""
    return np.mean(function(x))
