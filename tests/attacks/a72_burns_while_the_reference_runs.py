"""Keeps a core busy between its calls, so that the reference, timed meanwhile, looks slow.

Id: A72
Exercise: timed
Verdict: time_limit_exceeded
"""

import threading

import numpy as np


def slow(x):
    for _ in range(240):
        x = np.sqrt(1 / 6 + x * x)
    return x


def burn():
    buffer = np.ones(1 << 20)
    while True:
        np.sqrt(buffer, out=buffer)


threading.Thread(target=burn, daemon=True).start()


def roots(x):
    return slow(x)
