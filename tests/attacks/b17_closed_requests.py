"""Closes the channel that the judge writes to, answers and stays alive.

Id: B17
Exercise: double
Verdict: protocol_violation or time_limit_exceeded (an engine with a relay between notices late that nobody reads)
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


def double(x, factor=2.0):
    os.close(inside()["requests"])
    threading.Thread(target=time.sleep, args=(30,)).start()
    return factor * x
