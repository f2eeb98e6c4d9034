"""Reads what the harness has kept of other calls, looking for more than its own arguments.

Id: B21
Exercise: double
Verdict: accepted
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


class LEAKED(Exception):
    pass


def double(x, factor=2.0):
    want = factor * x
    for name, nodes, values, payload in inside()["harness"].retained:
        if set(values) - {0, 1, "factor"} or want.tobytes() in bytes(payload):
            raise LEAKED(name)
    return want
