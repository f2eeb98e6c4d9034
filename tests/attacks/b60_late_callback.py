"""Calls the judge's function from a thread after the test has ended.

Id: B60
Exercise: mean-of
Verdict: protocol_violation or time_limit_exceeded or accepted (the channel's lock may be taken when the next question comes, or the judge has had its last answer)
"""

import threading
import time


def later(function, x):
    for _ in range(1000):
        time.sleep(0.01)
        function(x)


def mean_of(function, x):
    threading.Thread(target=later, args=(function, x), daemon=True).start()
    answer = function(x).mean()
    time.sleep(0.2)
    return answer
