"""Honest, and wrong: no maximum is subtracted.

Id: C02
Exercise: softmax
Verdict: wrong_answer
"""

import numpy as np


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
