"""There is one square root too few.

Caught by test_is_right.
"""

import numpy as np


def roots(x):
    return np.sqrt(x * x + 39)
