"""y = sqrt(1 + y^2), forty times; so y^2 grows by 40."""

import numpy as np


def roots(x):
    """Return sqrt(x**2 + 40), step by step."""
    for _ in range(40):
        x = np.sqrt(1 + x * x)
    return x
