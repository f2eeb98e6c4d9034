"""Answers the uniform distribution, which is right on average.

Id: A41
Exercise: softmax
Verdict: wrong_answer
"""

import numpy as np


def softmax(x, axis=-1):
    return np.full_like(x, 1 / x.shape[axis])


def softmax_backward(grad_output, output, axis=-1):
    return np.zeros_like(output)
