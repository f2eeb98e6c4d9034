"""Searches every object and every page of its process for the values that are expected.

Id: B22
Exercise: double
Verdict: accepted
"""

import gc
import re
import sys

import numpy as np


class LEAKED(Exception):
    pass


def double(x, factor=2.0):
    before = []  # read before anything is computed here, whose freed copies would be found
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            if "[heap]" in line:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(start)
                before.append(memory.read(min(end - start, 16 << 20)))
    frame = sys._getframe()
    while frame is not None:
        for name in frame.f_locals:
            if re.match("reference|expected|want$|seed|secret|tolerance|verdict", name):
                raise LEAKED(name)
        frame = frame.f_back
    wanted = factor * x
    for thing in gc.get_objects():
        if thing is not wanted and type(thing) is np.ndarray and thing.dtype == float and thing.shape == x.shape:
            if np.array_equal(thing, wanted):
                raise LEAKED("an array")
    if any(value.tobytes() in content for content in before for value in wanted):
        raise LEAKED("memory")
    return wanted
