"""Scaled dot-product attention."""

import torch


def attention(query, key, value, mask=None, causal=False):
    """Return scaled dot-product attention, differentiable in query, key and value.

    query   (..., L, E) tensor: float32, float64 or bfloat16
    key     (..., S, E) tensor, same dtype and leading dimensions
    value   (..., S, V) tensor, same dtype and leading dimensions
    mask    None, or a bool tensor that broadcasts to (..., L, S); True where a query may look at a key
    causal  if True, query i may look at key j only where j <= i

    Returns a tensor (..., L, V) of the same dtype. A query that may look at no key gets a row of zeros.
    """
    raise NotImplementedError
