"""A thread computes after the function has returned.

Verdict: wrong_answer
"""

import threading
import time

import torch

def right(x, bias, scale):
    z = scale * x + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)


def fused_softmax(x, bias, scale=1.0):
    out = torch.empty_like(x)

    def work():
        time.sleep(0.2)
        out.copy_(right(x, bias, scale))

    threading.Thread(target=work).start()
    return out
