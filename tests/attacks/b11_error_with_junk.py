"""Sends an error whose line, column, name and text are as large and strange as the protocol allows.

Id: B11
Exercise: double
Verdict: import_error
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


junk = ("\x1b[2J\u202e\n" * 700)[:2000]
send({"nonce": nonce(), "status": "error", "kind": "signature", "type": junk[:200], "line": 1 << 31, "column": 1 << 31,
      "name": junk[:200], "text": junk})
hush()


def double(x, factor=2.0):
    return factor * x
