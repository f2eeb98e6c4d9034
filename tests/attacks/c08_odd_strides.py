"""Answers with a reversed view of a transposed slice in the other byte order.

Id: C08
Exercise: double
Verdict: accepted
"""

import numpy as np


def double(x, factor=2.0):
    room = np.zeros((2 * x.size, 2), '>f8').T
    room[1, ::2] = (factor * x)[::-1]
    return room[1, ::2][::-1]
