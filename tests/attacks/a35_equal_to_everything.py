"""Answers with an object that equals everything, passes for an array and overrides NumPy's functions.

Id: A35
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


class Friend:
    shape = property(lambda self: self.x.shape)
    dtype = property(lambda self: self.x.dtype)
    __class__ = np.ndarray

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return True

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__

    def __array__(self, *args, **kwargs):
        return self.x

    def __array_function__(self, *args):
        return True

    def __array_ufunc__(self, *args, **kwargs):
        return True

    @property
    def __array_interface__(self):
        return self.x.__array_interface__


def double(x, factor=2.0):
    return Friend(x)
