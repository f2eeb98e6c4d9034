"""The square is missing: add to the square of each element.

Caught by test_is_right.
"""

import numpy as np


def roots(x):
    return np.sqrt(np.abs(x) + 40)
