"""One sample at a time, in plain loops over samples and layers, with accumulated outer products."""

import math

import numpy as np


def loss_and_gradients(x, y, weights, biases):
    """Add up every sample's loss and gradients, then divide by their number."""
    loss = 0.0
    grad_weights = [np.zeros(weight.shape, dtype=weight.dtype) for weight in weights]
    grad_biases = [np.zeros(bias.shape, dtype=bias.dtype) for bias in biases]
    for sample, label in zip(x, y, strict=True):
        states = [sample]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            states.append(np.maximum(0, weight.T @ states[-1] + bias))
        logits = weights[-1].T @ states[-1] + biases[-1]
        exps = np.exp(logits - max(logits))
        loss += math.log(sum(exps)) + float(max(logits)) - float(logits[label])
        delta = exps / exps.sum()
        delta[label] -= 1
        for k in range(len(weights) - 1, -1, -1):
            grad_weights[k] += np.outer(states[k], delta)
            grad_biases[k] += delta
            delta = weights[k] @ delta
            delta[states[k] <= 0] = 0
    count = len(x)
    return loss / count, [grad / count for grad in grad_weights], [grad / count for grad in grad_biases]
