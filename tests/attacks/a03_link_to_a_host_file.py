"""Offers a link to a file of the host where a judge may look for output, and answers nothing.

Id: A03
Exercise: double
Verdict: wrong_answer
"""

import contextlib
import os

for name in ("out.txt", "output", "stdout.txt", "answer.npy", "result.json"):
    for folder in (".", "/tmp"):
        with contextlib.suppress(OSError):
            os.symlink("/etc/passwd", os.path.join(folder, name))


def double(x, factor=2.0):
    return None
