"""Changes its arguments and has the harness say that they are as they were.

Id: B20
Exercise: double
Verdict: accepted (its answers are right, and a copy of the argument would have done as well: nothing is gained)
"""

import json
import os
import struct
import sys


def inside():
    """Return the variables of the harness's main function."""
    frame = sys._getframe()
    while frame.f_code.co_name != "main":
        frame = frame.f_back
    return frame.f_locals


def send(header, payload=b""):
    text = header if type(header) is bytes else json.dumps(header).encode()
    os.write(inside()["answers"], struct.pack("<I", len(text)) + text + payload)


def nonce():
    return inside()["harness"].nonce


def hush():
    """Let the harness leave out its own reply, once."""
    harness = inside()["harness"]
    harness.reply = lambda *args: vars(harness).pop("reply")


sys.modules["__main__"].same = lambda *args: True


def double(x, factor=2.0):
    answer = factor * x
    x[:] = 0
    return answer
