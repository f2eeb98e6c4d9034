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
    wanted = [(float(value) * factor).hex() for value in x]
    raw = [np.float64(float(value) * factor).tobytes() for value in x]
    frame = sys._getframe()
    while frame is not None:
        for name, value in frame.f_locals.items():
            if re.match("reference|expected|want$|seed|secret|tolerance|verdict", name) and name != "wanted":
                raise LEAKED(name)
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing) is np.ndarray and thing.dtype == float and thing.shape == x.shape:
            if np.array_equal(thing, factor * x):
                raise LEAKED("an array")
    del wanted
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            if "[heap]" in line:
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(start)
                content = memory.read(min(end - start, 16 << 20))
                if any(content.count(part) > 1 for part in raw):
                    raise LEAKED("memory")
    return factor * x
