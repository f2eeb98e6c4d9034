"""Answers with a structured array whose fields are named after its inputs.

Id: B25
Exercise: double
Verdict: wrong_answer
"""

import numpy as np


def double(x, factor=2.0):
    return np.zeros(3, [(f"x{int(value * 10**6)}", float) for value in x])
