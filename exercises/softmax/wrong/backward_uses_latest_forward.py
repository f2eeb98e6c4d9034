"""The backward function uses what softmax returned last: it must use the output that it is given.

Caught by test_backward_uses_the_output_it_is_given.
"""

import numpy as np

latest = {}


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    output = weights / weights.sum(axis=axis, keepdims=True)
    latest[x.shape] = output
    return output


def softmax_backward(grad_output, output, axis=-1):
    y = latest.get(output.shape, output)
    return y * (grad_output - (grad_output * y).sum(axis=axis, keepdims=True))
