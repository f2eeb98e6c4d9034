"""Opens the kernel's crypto sockets and splices files, as writes into the page cache were made.

Id: A09
Exercise: double
Verdict: accepted
"""

import ctypes
import errno
import os
import socket


class LEAKED(Exception):
    pass


libc = ctypes.CDLL(None, use_errno=True)
try:
    socket.socket(38, socket.SOCK_SEQPACKET, 0)
except OSError:
    pass
else:
    raise LEAKED("AF_ALG")
reader, writer = os.pipe()
file = os.open("/proc/self/exe", os.O_RDONLY)
for name, arguments in {
    "splice": (file, None, writer, None, 16, 0),
    "tee": (reader, writer, 16, 0),
    "vmsplice": (writer, ctypes.create_string_buffer(16), 1, 0),
}.items():
    if getattr(libc, name)(*arguments) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        raise LEAKED(name)


def double(x, factor=2.0):
    return factor * x
