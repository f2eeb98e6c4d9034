"""Keeps to little memory until it has been measured, and then takes as much as there is.

Id: B65
Exercise: timed
Verdict: memory_limit_exceeded
"""

import numpy as np


calls = []


def roots(x):
    calls.append(len(x))
    room = np.ones((200 << 20) // 8) if len(calls) > 8 else x
    return np.sqrt(x * x + 40) + 0 * room[0]
