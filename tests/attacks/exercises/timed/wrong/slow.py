"""Each root is taken in six steps: one will do.

Caught by test_speed.
"""

import numpy as np


def roots(x):
    for _ in range(240):
        x = np.sqrt(1 / 6 + x * x)
    return x
