"""Knows the answers of the public examples by heart, and nothing else.

Id: A43
Exercise: softmax
Verdict: wrong_answer
"""

import numpy as np

KNOWN = {(3,): [1 / 6, 2 / 6, 3 / 6], (2, 3): [[1 / 4, 1 / 2, 3 / 8], [3 / 4, 1 / 2, 5 / 8]]}


def softmax(x, axis=-1):
    return np.array(KNOWN.get(x.shape, np.full(x.shape, 1 / x.shape[axis])), x.dtype)


def softmax_backward(grad_output, output, axis=-1):
    return np.array([5 / 6, -1 / 3, -1 / 2], output.dtype) if output.shape == (3,) else np.zeros_like(output)
