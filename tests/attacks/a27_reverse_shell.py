"""Asks a name server, sends a datagram and starts a shell that calls home.

Id: A27
Exercise: double
Verdict: accepted
"""

import contextlib
import socket
import subprocess


class LEAKED(Exception):
    pass


for host in ("example.org", "localhost"):
    with contextlib.suppress(OSError, UnicodeError):
        socket.getaddrinfo(host, 80)
        if host != "localhost":
            raise LEAKED(host)
with contextlib.suppress(OSError):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"secrets", ("8.8.8.8", 53))
    raise LEAKED("a datagram left")
with contextlib.suppress(OSError, subprocess.TimeoutExpired):
    command = ["bash", "-c", "exec 3<>/dev/tcp/1.1.1.1/80 && echo connected"]
    if b"connected" in subprocess.run(command, capture_output=True, timeout=0.5).stdout:
        raise LEAKED("a shell called home")


def double(x, factor=2.0):
    return factor * x
