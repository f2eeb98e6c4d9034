"""Adding the maximum back to the log of the sum rounds the log away: subtract the maximum from x first.

Caught by test_equal_scores, test_shift_of_each_slice.
"""

import numpy as np


def softmax(x, axis=-1):
    largest = x.max(axis=axis, keepdims=True)
    log_sum = largest + np.log(np.exp(x - largest).sum(axis=axis, keepdims=True))
    return np.exp(x - log_sum)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
