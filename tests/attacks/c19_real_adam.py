"""Right, with objects that stay in the sandbox.

Id: C19
Exercise: adam
Verdict: accepted
"""


import numpy as np


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = list(params)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.coupled = 0.0 if decoupled else weight_decay
        self.shrink = lr * weight_decay if decoupled else 0.0
        size = sum(p.size for p in params)
        self.moments = np.zeros((2, size))
        self.steps = 0

    @staticmethod
    def gather(arrays):
        return np.concatenate([array.ravel() for array in arrays]).astype(np.float64)

    def step(self, grads):
        self.steps += 1
        p = self.gather(self.params)
        g = self.gather(grads) + self.coupled * p
        p -= self.shrink * p
        rates = 1 - np.array(self.betas)[:, None]
        self.moments += rates * (np.stack([g, g * g]) - self.moments)
        m_hat, v_hat = self.moments / -np.expm1(self.steps * np.log1p(-rates))
        p -= self.lr * m_hat / (v_hat**0.5 + self.eps)
        start = 0
        for array in self.params:
            array[...] = p[start : start + array.size].reshape(array.shape)
            start += array.size
