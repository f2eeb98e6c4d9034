"""Backpropagation through a multi-layer perceptron."""

import numpy as np


def loss_and_gradients(x, y, weights, biases):
    """Return the loss of a ReLU network and its gradients in every parameter.

    x        (N, D) array, float32 or float64
    y        (N,) array of integer class labels, 0 <= y < number of classes
    weights  list of K >= 1 arrays; weights[k] is (in, out), weights[0] is (D, ...)
    biases   list of K arrays; biases[k] is (out,)

    Returns (loss, grad_weights, grad_biases):

    loss          mean softmax cross-entropy over the batch, a float or a 0-d array
    grad_weights  list of K arrays with the shapes and dtype of `weights`, in the same order
    grad_biases   list of K arrays with the shapes and dtype of `biases`, in the same order
    """
    raise NotImplementedError
