"""Recursion over the layers: each call goes forward, asks the rest of the network, and comes back."""

import numpy as np


def loss_and_gradients(x, y, weights, biases):
    """Peel off the first layer; the rest of the network is a smaller one of the same kind."""
    loss, _, grad_weights, grad_biases = descend(x, y, tuple(weights), tuple(biases))
    return (loss, tuple(grad_weights), tuple(grad_biases))


def descend(h, y, weights, biases):
    """Return (loss, gradient in h, weight gradients, bias gradients) of the network above h."""
    z = h @ weights[0] + biases[0]
    if len(weights) == 1:
        loss, grad_z = cross_entropy(z, y)
        later_weights, later_biases = [], []
    else:
        loss, grad_a, later_weights, later_biases = descend(z.clip(0), y, weights[1:], biases[1:])
        grad_z = np.where(z > 0, grad_a, np.zeros_like(grad_a))
    return loss, grad_z @ weights[0].T, [h.T @ grad_z, *later_weights], [grad_z.sum(0), *later_biases]


def cross_entropy(logits, y):
    """Return the mean loss as a 0-d array, and its gradient in the logits."""
    count, classes = logits.shape
    onehot = (np.asarray(y)[:, None] == np.arange(classes)).astype(logits.dtype)
    centred = logits - np.take_along_axis(logits, np.argmax(logits, 1)[:, None], axis=1)
    log_p = centred - np.log(np.exp(centred).sum(1, keepdims=True))
    loss = -(log_p * onehot).sum() / count
    return np.array(loss), (np.exp(log_p) - onehot) / logits.dtype.type(count)
