"""Everything in float64, the gradients cast back to the dtype of the parameters at the end."""

import numpy as np


def loss_and_gradients(x, y, weights, biases):
    """Upcast once, then work on wide copies."""
    wide = [np.array(weight, dtype=np.float64) for weight in weights]
    h = [np.array(x, dtype=np.float64)]
    for weight, bias in zip(wide, biases):
        z = h[-1].dot(weight) + bias
        h.append((abs(z) + z) / 2)
    z -= z.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    n = len(y)
    loss = -sum(log_p[i, y[i]] for i in range(n)) / n
    delta = np.exp(log_p)
    np.subtract.at(delta, (np.arange(n), y), 1.0)
    delta = delta / n
    grads = []
    for k in range(len(wide))[::-1]:
        grads.append((h[k].T.dot(delta).astype(weights[k].dtype), delta.sum(axis=0).astype(biases[k].dtype)))
        delta = delta.dot(wide[k].T) * np.sign(h[k])
    grads.reverse()
    return loss, [weight for weight, _ in grads], [bias for _, bias in grads]
