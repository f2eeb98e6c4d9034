"""Python updates every element by itself, which takes tens of times as long: let NumPy work on whole arrays.

Caught by test_speed.
"""

import math

import numpy as np


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = list(params)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.t = 0
        self.m = [[0.0] * p.size for p in self.params]
        self.v = [[0.0] * p.size for p in self.params]

    def step(self, grads):
        self.t += 1
        beta1, beta2 = self.betas
        for p, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            updated = []
            for i, (x, slope) in enumerate(zip(p.ravel().tolist(), g.ravel().tolist(), strict=True)):
                if self.decoupled:
                    x -= self.lr * self.weight_decay * x
                else:
                    slope += self.weight_decay * x
                m[i] = beta1 * m[i] + (1 - beta1) * slope
                v[i] = beta2 * v[i] + (1 - beta2) * slope**2
                m_hat, v_hat = m[i] / (1 - beta1**self.t), v[i] / (1 - beta2**self.t)
                updated.append(x - self.lr * m_hat / (math.sqrt(v_hat) + self.eps))
            p[...] = np.array(updated).reshape(p.shape)
