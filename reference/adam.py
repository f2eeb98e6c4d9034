"""Adam and AdamW.

    m = beta1 m + (1 - beta1) g            v = beta2 v + (1 - beta2) g^2            (both start at 0)
    m_hat = m / (1 - beta1^t)              v_hat = v / (1 - beta2^t)                (t = 1 at the first step)
    p = p - lr m_hat / (sqrt(v_hat) + eps)

Weight decay: g + weight_decay p takes the place of g; or, decoupled, p shrinks by lr weight_decay p first.
Sources: Kingma and Ba, Adam (2015), algorithm 1; Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019).
"""

import numpy as np


class Adam:
    """Updates a list of arrays in place, one call of `step` at a time."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        """Start with zero moments, one pair for each array of `params`."""
        self.params = list(params)
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self.t = 0
        self.m = [np.zeros_like(p) for p in self.params]
        self.v = [np.zeros_like(p) for p in self.params]

    def step(self, grads):
        """Update every array of `self.params` in place; `grads` has one array of the same shape for each."""
        self.t += 1
        beta1, beta2 = self.betas
        for i, (p, g) in enumerate(zip(self.params, grads, strict=True)):
            if self.decoupled:
                p -= self.lr * self.weight_decay * p
            else:
                g = g + self.weight_decay * p
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * g**2
            m_hat = self.m[i] / (1 - beta1**self.t)
            v_hat = self.v[i] / (1 - beta2**self.t)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
