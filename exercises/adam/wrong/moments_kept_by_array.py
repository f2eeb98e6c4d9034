"""The moments belong to the array, not to the optimiser: two optimisers over the same arrays mix theirs.

Caught by test_two_optimisers.
"""

import numpy as np

moments = {}


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = params
        self.lr = lr
        self.beta1, self.beta2 = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self.t = 0
        for p in params:
            moments.setdefault(id(p), [p, np.zeros_like(p), np.zeros_like(p)])

    def step(self, grads):
        self.t += 1
        for p, g in zip(self.params, grads):
            kept = moments[id(p)]
            if self.decoupled:
                p -= self.lr * self.weight_decay * p
            else:
                g = g + self.weight_decay * p
            kept[1] = self.beta1 * kept[1] + (1 - self.beta1) * g
            kept[2] = self.beta2 * kept[2] + (1 - self.beta2) * g * g
            m_hat = kept[1] / (1 - self.beta1**self.t)
            v_hat = kept[2] / (1 - self.beta2**self.t)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
