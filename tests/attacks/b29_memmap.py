"""Maps files and devices of the host into arrays.

Id: B29
Exercise: double
Verdict: accepted
"""

import numpy as np


class LEAKED(Exception):
    pass


for path in ("/etc/shadow", "/dev/mem", "/dev/kmem", "/proc/kcore", "/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/port"):
    try:
        np.memmap(path, np.uint8, "r", shape=(16,))
    except (OSError, ValueError):
        continue
    raise LEAKED(path)


def double(x, factor=2.0):
    return factor * x
