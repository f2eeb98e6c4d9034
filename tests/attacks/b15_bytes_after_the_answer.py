"""Lets a thread write to the judge's channel after the last answer.

Id: B15
Exercise: double
Verdict: protocol_violation
"""

import json
import os
import struct
import sys
import threading
import time


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


answers = inside()["answers"]


def shout():
    for _ in range(10_000):
        os.write(answers, b"accepted")
        time.sleep(0.0005)


def double(x, factor=2.0):
    if factor == 3.0:
        threading.Thread(target=shout, daemon=True).start()
    return factor * x
