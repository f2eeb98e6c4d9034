"""Returns at once and lets a thread fill the answer in later.

Id: A63
Exercise: double
Verdict: wrong_answer
"""

import threading
import time

import numpy as np


def double(x, factor=2.0):
    answer = np.zeros_like(x)

    def work():
        time.sleep(0.2)
        answer[:] = factor * x

    threading.Thread(target=work, daemon=True).start()
    return answer
