"""The exponentials have to be divided by their sum.

Caught by test_softmax.
"""

import torch


def softmax(x):
    return torch.exp(x)
