"""Replaces the harness by a program of its own that answers in the protocol and passes every question.

Id: B45
Exercise: double
Verdict: wrong_answer or protocol_violation (where no program may be started, the harness answers after the forged answer)
"""

import os
import sys

PROGRAM = """
import json, os, struct, sys
reader, writer = map(int, sys.argv[1:])
def read(size):
    data = b""
    while len(data) < size:
        part = os.read(reader, size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data
while True:
    request = json.loads(read(struct.unpack("<I", read(4))[0]))
    read(request["size"])
    text = json.dumps({"nonce": request["nonce"], "status": "ok", "value": {"t": "list", "v": []}}).encode()
    os.write(writer, struct.pack("<I", len(text)) + text)
"""


def double(x, factor=2.0):
    frame = sys._getframe()
    while frame.f_code.co_name != "main":
        frame = frame.f_back
    text = b'{"nonce":"%s","status":"ok","value":{"t":"none"}}' % frame.f_locals["harness"].nonce.encode()
    os.write(frame.f_locals["answers"], len(text).to_bytes(4, "little") + text)
    channel = [frame.f_locals[name] for name in ("requests", "answers")]
    for descriptor in channel:
        os.set_inheritable(descriptor, True)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", PROGRAM, *map(str, channel)])
