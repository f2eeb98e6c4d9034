"""Stops every clock of its process and then takes its time.

Id: A61
Exercise: double
Verdict: time_limit_exceeded
"""

import time

sleep = time.sleep
for name in ("time", "monotonic", "perf_counter", "process_time", "time_ns", "monotonic_ns", "perf_counter_ns"):
    setattr(time, name, lambda: 0)


def double(x, factor=2.0):
    sleep(20)
    return factor * x
