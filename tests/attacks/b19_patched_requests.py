"""Rewrites the judge's requests on their way into the harness.

Id: B19
Exercise: double
Verdict: wrong_answer
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


handle = inside()["harness"].handle


def patched(request, payload):
    if request["op"] == "call":
        request = {**request, "target": {"name": "easier"}}
    handle(request, payload)


inside()["harness"].handle = patched


def easier(x, factor=2.0):
    return x


def double(x, factor=2.0):
    return factor * x
