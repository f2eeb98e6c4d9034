"""Answers with an array of a subclass whose comparisons are always true.

Id: A35
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


class Friend(np.ndarray):
    def __eq__(self, other):
        return np.ones(self.shape, bool)

    __le__ = __lt__ = __ge__ = __gt__ = __eq__

    def tobytes(self, *args):
        return b""


def double(x, factor=2.0):
    return x.view(Friend)
