"""Right to ten thousand digits, one number after the other: nobody will wait for it."""

from decimal import Decimal, getcontext

import numpy as np

getcontext().prec = 10_000


def softmax_of_one_slice(values):
    numbers = [Decimal(float(value)) for value in values]
    largest = max(numbers)
    exponentials = [(number - largest).exp() for number in numbers]
    total = sum(exponentials)
    return [float(exponential / total) for exponential in exponentials]


def softmax(x, axis=-1):
    return np.apply_along_axis(softmax_of_one_slice, axis, x).astype(x.dtype)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
