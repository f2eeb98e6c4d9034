"""Keeps as much as it can in the buffers of pipes and sockets, up to 1 GiB.

Id: A49
Exercise: double
Verdict: accepted or memory_limit_exceeded (the kernel may refuse the buffers or count them as memory)
"""

import contextlib
import fcntl
import os
import socket


class LEAKED(Exception):
    pass


kept, written = [], 0
with contextlib.suppress(OSError):
    for _ in range(1000):
        reader, writer = os.pipe()
        kept += [reader, writer]
        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, 1031, 1 << 20)  # F_SETPIPE_SZ
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                written += os.write(writer, bytes(1 << 16))
for descriptor in kept[-8:]:
    os.close(descriptor)
with contextlib.suppress(OSError):
    one, other = socket.socketpair()
    one.setblocking(False)
    for _ in range(10_000):
        written += one.send(bytes(1 << 16))
if written >= 1 << 30:
    raise LEAKED(written)


def double(x, factor=2.0):
    return factor * x
