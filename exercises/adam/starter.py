"""Adam and AdamW, in NumPy."""

import numpy as np


class Adam:
    """Updates a list of arrays in place, one call of `step` at a time."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        """Remember the arrays and the settings; nothing is updated yet.

        params: list of float32 or float64 arrays of any shape, () included.
        `self.params` must hold these same arrays, in this order.
        """
        raise NotImplementedError

    def step(self, grads):
        """Update every array of `self.params` in place and return None.

        grads: list with one gradient for each array of `self.params`, same shape and dtype; it stays as it is.
        """
        raise NotImplementedError
