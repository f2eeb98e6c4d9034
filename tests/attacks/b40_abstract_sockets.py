"""Looks for sockets of the host that need no file: abstract names and a shared network.

Id: B40
Exercise: double
Verdict: accepted
"""

import os
import socket


class LEAKED(Exception):
    pass


lines = open("/proc/net/unix").read().splitlines()[1:] if os.path.exists("/proc/net/unix") else []
named = {line.split()[7] for line in lines if len(line.split()) > 7}
for descriptor in range(16):
    try:
        named.discard(socket.socket(fileno=os.dup(descriptor)).getpeername())  # the judge's own end
    except OSError:
        continue
if named:
    raise LEAKED(str(named))
for name in ("\0/tmp/.X11-unix/X0", "\0/containerd-shim/x", "\0/org/kernel/linux/storage/multipathd", "\0dbus"):
    try:
        socket.socket(socket.AF_UNIX).connect(name)
    except OSError:
        continue
    raise LEAKED(name)
if os.path.isdir("/sys/class/net") and set(os.listdir("/sys/class/net")) - {"lo", "bonding_masters"}:
    raise LEAKED(str(os.listdir("/sys/class/net")))


def double(x, factor=2.0):
    return factor * x
