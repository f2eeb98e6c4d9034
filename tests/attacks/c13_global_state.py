"""Keeps global state, a scratch file and a log that do not matter.

Id: C13
Exercise: double
Verdict: accepted
"""

import logging
import tempfile

import numpy as np


calls = 0
logging.basicConfig(level=logging.DEBUG)


def double(x, factor=2.0):
    global calls
    calls += 1
    logging.info('call %d', calls)
    with tempfile.TemporaryFile() as file:
        np.save(file, factor * x)
        file.seek(0)
        return np.load(file)
