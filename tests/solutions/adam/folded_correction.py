"""The corrections folded into the rate: lr_t = lr sqrt(1 - b2^t) / (1 - b1^t), and eps scaled along with the root."""

import math

import numpy as np


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = params
        self.lr = lr
        self.b1, self.b2 = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self.first = [np.zeros(p.shape, p.dtype) for p in params]
        self.second = [np.zeros(p.shape, p.dtype) for p in params]
        self.t = 0

    def step(self, grads):
        self.t += 1
        root = math.sqrt(1 - self.b2**self.t)
        rate = self.lr * root / (1 - self.b1**self.t)
        for p, g, m, v in zip(self.params, grads, self.first, self.second, strict=True):
            if self.decoupled:
                np.multiply(p, 1 - self.lr * self.weight_decay, out=p)
                total = g
            else:
                total = g + self.weight_decay * p
            m *= self.b1
            m += (1 - self.b1) * total
            v *= self.b2
            v += (1 - self.b2) * total * total
            p -= rate * m / (np.sqrt(v) + self.eps * root)
