"""Leaves a mark wherever something might outlast the sandbox, dies, and looks for the mark when it is loaded again.

Id: A83
Exercise: double
Verdict: runtime_error
"""

import contextlib
import ctypes
import os
import socket
import sys
import time


class LEAKED(Exception):
    pass


MARK = "grader-mark"
libc = ctypes.CDLL(None, use_errno=True)
places = ["/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue", "/run", ".", "/sandbox", os.path.expanduser("~"), *sys.path]
for folder in places:
    if os.path.exists(os.path.join(folder, MARK)):
        raise LEAKED(folder)
for folder in places:
    with contextlib.suppress(OSError):
        open(os.path.join(folder, MARK), "x").close()
if libc.shmget(0x6D61726B, 4096, 0) >= 0 or libc.semget(0x6D61726B, 1, 0) >= 0 or libc.msgget(0x6D61726B, 0) >= 0:
    raise LEAKED("System V IPC")
libc.shmget(0x6D61726B, 4096, 0o1666), libc.semget(0x6D61726B, 1, 0o1666), libc.msgget(0x6D61726B, 0o1666)
for ring in (-3, -4, -5):  # the session's, the user's and the user's session's keys
    if libc.syscall(249, b"user", MARK.encode(), None, ring) > 0:
        raise LEAKED("keys")
    libc.syscall(248, b"user", MARK.encode(), b"1", 1, ring)
with contextlib.suppress(OSError):
    probe = socket.socket(socket.AF_UNIX)
    probe.connect("\0" + MARK)
    raise LEAKED("abstract socket")
with contextlib.suppress(OSError):
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0" + MARK)
    server.listen()
    if os.fork() == 0:
        os.setsid()
        time.sleep(5)
        os._exit(0)


def double(x, factor=2.0):
    os._exit(1)
