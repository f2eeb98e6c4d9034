"""A dict of state for each array, with the bias corrections as running products."""

import numpy as np


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
        self.params = params
        self.settings = {"lr": lr, "betas": betas, "eps": eps, "decay": weight_decay, "decoupled": decoupled}
        self.state = [{"m": 0.0, "v": 0.0, "power1": 1.0, "power2": 1.0} for _ in params]

    def step(self, grads):
        lr, eps, decay = self.settings["lr"], self.settings["eps"], self.settings["decay"]
        beta1, beta2 = self.settings["betas"]
        for k in range(len(self.params)):
            state = self.state[k]
            p = self.params[k]
            g = np.array(grads[k])
            if decay and self.settings["decoupled"]:
                p *= 1 - lr * decay
            elif decay:
                g += decay * p
            state["power1"] *= beta1
            state["power2"] *= beta2
            state["m"] = state["m"] * beta1 + g * (1 - beta1)
            state["v"] = state["v"] * beta2 + np.square(g) * (1 - beta2)
            mean = state["m"] / (1 - state["power1"])
            root = np.sqrt(state["v"] / (1 - state["power2"]))
            p[...] = p - lr * mean / (root + eps)
