"""Uses getattr, eval and exec for honest work.

Id: C15
Exercise: double
Verdict: accepted
"""

import numpy as np


exec('def scaled(x, factor):\n    return np.multiply(x, factor)')


def double(x, factor=2.0):
    return getattr(np, 'abs' + 'olute')(scaled(x, eval('factor'))) * np.sign(x * factor)
