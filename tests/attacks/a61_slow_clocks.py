"""Has every clock of its process run at a tenth of its pace, and then takes six times as long as it may.

Id: A61
Exercise: timed
Verdict: time_limit_exceeded
"""

import time

import numpy as np


def slow(x):
    for _ in range(240):
        x = np.sqrt(1 / 6 + x * x)
    return x


for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
    setattr(time, name, lambda real=getattr(time, name): real() / 10)


def roots(x):
    return slow(x)
