"""Uses the layer instead of the function.

Id: A77
Exercise: softmax-layer
Verdict: policy_violation
"""

import torch


layer = torch.nn.Softmax(dim=-1)


def softmax(x):
    return layer(x)
