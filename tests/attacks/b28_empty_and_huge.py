"""Answers with an empty array whose other dimensions overflow as soon as it is converted to a wider type.

Id: B28
Exercise: double
Verdict: wrong_answer or protocol_violation (the judge may refuse such dimensions before it compares shapes)
"""

import numpy as np


def double(x, factor=2.0):
    return np.empty((0, 1 << 30, 1 << 30), np.float16)
