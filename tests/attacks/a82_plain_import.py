"""Imports PyTorch where the exercise offers NumPy only.

Id: A82
Exercise: double
Verdict: import_error
"""

import torch


def double(x, factor=2.0):
    return torch.mul(torch.from_numpy(x), factor).numpy()
