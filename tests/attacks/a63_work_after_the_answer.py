"""Answers by a formula, and works six times as long as it may in a thread once the answer is on its way.

Id: A63
Exercise: timed
Verdict: time_limit_exceeded
"""

import threading

import numpy as np


def slow(x):
    for _ in range(240):
        x = np.sqrt(1 / 6 + x * x)
    return x


def roots(x):
    threading.Timer(0.001, slow, (x,)).start()
    return np.sqrt(x * x + 40)
