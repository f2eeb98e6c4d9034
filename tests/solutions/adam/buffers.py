"""Buffers reused at every step with `out=`, one small object for each array."""

import numpy as np


class Slot:
    def __init__(self, array):
        self.array = array
        self.m = np.zeros_like(array)
        self.v = np.zeros_like(array)
        self.work = np.empty_like(array)
        self.root = np.empty_like(array)

    def update(self, gradient, lr, beta1, beta2, eps, t):
        np.subtract(gradient, self.m, out=self.work)
        np.multiply(self.work, 1 - beta1, out=self.work)
        np.add(self.m, self.work, out=self.m)
        np.multiply(gradient, gradient, out=self.work)
        np.multiply(self.work, 1 - beta2, out=self.work)
        np.multiply(self.v, beta2, out=self.v)
        np.add(self.v, self.work, out=self.v)
        np.divide(self.v, 1 - beta2**t, out=self.root)
        np.sqrt(self.root, out=self.root)
        np.add(self.root, eps, out=self.root)
        np.divide(self.m, self.root, out=self.work)
        np.multiply(self.work, lr / (1 - beta1**t), out=self.work)
        np.subtract(self.array, self.work, out=self.array)


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.slots = [Slot(array) for array in params]
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.t = 0

    @property
    def params(self):
        return tuple(slot.array for slot in self.slots)

    def step(self, grads):
        self.t += 1
        for slot, gradient in zip(self.slots, grads, strict=True):
            if self.weight_decay and self.decoupled:
                slot.array -= self.lr * self.weight_decay * slot.array
            elif self.weight_decay:
                gradient = gradient + self.weight_decay * slot.array
            slot.update(gradient, self.lr, *self.betas, self.eps, self.t)
