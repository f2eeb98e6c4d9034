"""The first moment is not bias-corrected: the first steps are ten times too small.

Caught by test_first_step, test_hundreds_of_steps.
"""

import numpy as np


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = params
        self.lr = lr
        self.beta1, self.beta2 = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self.t = 0
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]

    def step(self, grads):
        self.t += 1
        for i, (p, g) in enumerate(zip(self.params, grads)):
            if self.decoupled:
                p -= self.lr * self.weight_decay * p
            else:
                g = g + self.weight_decay * p
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * g
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * g * g
            v_hat = self.v[i] / (1 - self.beta2**self.t)
            p -= self.lr * self.m[i] / (np.sqrt(v_hat) + self.eps)
