"""Takes 2 GiB of shared anonymous memory, which a limit on private memory does not see.

Id: A49
Exercise: double
Verdict: memory_limit_exceeded
"""

import mmap


class LEAKED(Exception):
    pass


pages = mmap.mmap(-1, 2 << 30)
for offset in range(0, 2 << 30, 4096):
    pages[offset] = 1
raise LEAKED("2 GiB")
