"""The softmax of scaled and biased scores.

    z[i, j] = scale x[i, j] + bias[j]
    y[i, j] = exp(z[i, j] - m_i) / sum_k exp(z[i, k] - m_i),  m_i = max_k z[i, k]

Source: M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", 2018, section 2.
"""

import torch


def fused_softmax(x, bias, scale=1.0):
    """Return softmax(scale x + bias) along the last axis.

    x: (rows, columns); bias: (columns,), same dtype. Returns (rows, columns) in the dtype of x.
    """
    z = scale * x + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)
