"""Layer objects that remember their inputs, chained forward and then backward."""

import numpy as np


class Linear:
    """An affine layer and the gradients of its parameters."""

    def __init__(self, weight, bias):
        """Keep the parameters; nothing is copied and nothing is changed."""
        self.weight, self.bias = weight, bias

    def forward(self, x):
        """Return x @ weight + bias."""
        self.x = x
        return np.dot(x, self.weight) + self.bias

    def backward(self, grad):
        """Store the parameters' gradients and return the input's."""
        self.grad_weight = np.dot(self.x.T, grad)
        self.grad_bias = np.sum(grad, axis=0)
        return np.dot(grad, self.weight.T)


class ReLU:
    """max(x, 0)."""

    def forward(self, x):
        """Remember where the units are on."""
        self.on = x > 0
        return np.where(self.on, x, 0).astype(x.dtype)

    def backward(self, grad):
        """Let the gradient through where the units are on."""
        return grad * self.on


class SoftmaxCrossEntropy:
    """Mean of -log softmax at the labels."""

    def forward(self, logits, labels):
        """Return the loss as a Python float."""
        peak = np.max(logits, axis=1, keepdims=True)
        log_sum = peak + np.log(np.sum(np.exp(logits - peak), axis=1, keepdims=True))
        self.probabilities = np.exp(logits - log_sum)
        self.labels = labels
        total = 0.0
        for row, label in enumerate(labels):
            total += float(log_sum[row, 0] - logits[row, label])
        return total / len(labels)

    def backward(self):
        """Return (softmax - one-hot) / N."""
        grad = self.probabilities.copy()
        for row, label in enumerate(self.labels):
            grad[row, label] -= 1
        return grad / len(self.labels)


def loss_and_gradients(x, y, weights, biases):
    """Build the network from its parameters, run it, run it back."""
    linears = [Linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
    chain = [linears[0]]
    for linear in linears[1:]:
        chain += [ReLU(), linear]
    criterion = SoftmaxCrossEntropy()
    h = x
    for layer in chain:
        h = layer.forward(h)
    loss = criterion.forward(h, y)
    grad = criterion.backward()
    for layer in reversed(chain):
        grad = layer.backward(grad)
    return loss, [linear.grad_weight for linear in linears], [linear.grad_bias for linear in linears]
