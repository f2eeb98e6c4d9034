"""Has the harness announce other shapes and dtypes than its arrays have.

Id: B19
Exercise: double
Verdict: protocol_violation or wrong_answer (the bytes that follow decide which is noticed first)
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


def double(x, factor=2.0):
    encoder = sys.modules["__main__"].Encoder
    honest = encoder.array
    encoder.array = lambda self, array, kind: honest(self, array, kind) | {"dtype": "float32"}
    return factor * x
