"""Weighted sums instead of averages: m = (1 - b1) s, with s = b1 s + g, and the same for the squares."""

import numpy as np


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = params
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.sums = [None] * len(params)
        self.weights = [0.0, 0.0]

    def step(self, grads):
        b1, b2 = self.betas
        self.weights = [b * w + 1 for b, w in zip(self.betas, self.weights, strict=True)]
        for k, (p, g) in enumerate(zip(self.params, grads, strict=True)):
            shrunk = p
            if self.weight_decay:
                if self.decoupled:
                    shrunk = p - self.lr * self.weight_decay * p
                else:
                    g = self.weight_decay * p + g
            s, q = self.sums[k] or (0 * g, 0 * g)
            s, q = b1 * s + g, b2 * q + g**2
            self.sums[k] = (s, q)
            np.copyto(p, shrunk - self.lr * (s / self.weights[0]) / ((q / self.weights[1]) ** 0.5 + self.eps))
