"""Gradients of a multi-layer perceptron by backpropagation.

Forward, for the layers k = 1 .. K with W_k = weights[k - 1] and b_k = biases[k - 1]:

    h_0 = x
    z_k = h_{k-1} W_k + b_k
    h_k = max(z_k, 0)                                      for k < K
    log p[n, c] = z_K[n, c] - log sum_j exp(z_K[n, j])     with the row's maximum taken out first
    loss = -(1/N) sum_n log p[n, y_n]

Backward, with d_k the gradient of the loss in z_k:

    d_K = (p - onehot(y)) / N
    dloss/dW_k = h_{k-1}^T d_k
    dloss/db_k = sum_n d_k[n, :]
    d_{k-1} = (d_k W_k^T) * [z_{k-1} > 0]

Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323 (1986).
"""

import numpy as np


def loss_and_gradients(x, y, weights, biases):
    """Return the mean cross-entropy and its gradients in every weight and bias.

    x: (N, D) floating; y: (N,) integer; weights: list of (in, out); biases: list of (out,).
    Returns (loss, grad_weights, grad_biases), the gradients in the order, shapes and dtype of the parameters.
    """
    layers = len(weights)
    samples = np.arange(len(x))

    h = [x]
    for k in range(layers):
        z = h[k] @ weights[k] + biases[k]
        h.append(np.maximum(z, 0) if k < layers - 1 else z)

    shifted = h[-1] - h[-1].max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[samples, y].mean()

    d = np.exp(log_p)
    d[samples, y] -= 1
    d /= len(x)

    grad_weights, grad_biases = [], []
    for k in reversed(range(layers)):
        grad_weights.insert(0, h[k].T @ d)
        grad_biases.insert(0, d.sum(axis=0))
        if k > 0:
            d = (d @ weights[k].T) * (h[k] > 0)
    return loss, grad_weights, grad_biases
