"""Asks for namespaces of its own, by unshare, setns, clone and clone3, to become root in them.

Id: A11
Exercise: double
Verdict: accepted
"""

import ctypes
import errno
import os


class LEAKED(Exception):
    pass


libc = ctypes.CDLL(None, use_errno=True)
REFUSED = (errno.EPERM, errno.ENOSYS)
for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x02000000, 0x04000000, 0x08000000, 0x00000080):
    if libc.unshare(flag) == 0 or ctypes.get_errno() not in REFUSED:
        raise LEAKED(f"unshare {flag:x}")
    if flag == 0x80:
        continue  # a new time: clone takes that bit for a signal
    pid = libc.syscall(56, flag | 17, 0, 0, 0, 0)  # clone
    if pid == 0:
        os._exit(0)
    if pid > 0 or ctypes.get_errno() not in REFUSED:
        raise LEAKED(f"clone {flag:x}")
space = os.open("/proc/self/ns/net", os.O_RDONLY)
if libc.setns(space, 0) == 0 or ctypes.get_errno() not in REFUSED:
    raise LEAKED("setns")
if libc.syscall(435, ctypes.create_string_buffer(88), 88) >= 0 or ctypes.get_errno() != errno.ENOSYS:
    raise LEAKED("clone3")
for path in ("/proc/self/uid_map", "/proc/self/setgroups"):
    try:
        with open(path, "w") as file:
            file.write("0 0 1\n" if path.endswith("map") else "allow")
    except OSError:
        continue
    raise LEAKED(path)


def double(x, factor=2.0):
    return factor * x
