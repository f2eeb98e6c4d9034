"""The sum runs over the whole array: every slice along the axis must sum to one.

Caught by test_matches_the_definition, test_every_axis.
"""

import numpy as np


def softmax(x, axis=-1):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
