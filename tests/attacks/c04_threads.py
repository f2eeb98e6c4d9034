"""Computes in threads, as one may.

Id: C04
Exercise: double
Verdict: accepted
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np


def double(x, factor=2.0):
    answer = np.empty_like(x)
    with ThreadPoolExecutor(4) as pool:
        for place, value in enumerate(pool.map(lambda part: factor * part, x)):
            answer[place] = value
    return answer
