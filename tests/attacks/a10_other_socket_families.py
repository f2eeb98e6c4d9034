"""Asks for every family of sockets but AF_UNIX: netlink, packets, keys, rxrpc, vsock, Bluetooth.

Id: A10
Exercise: double
Verdict: accepted
"""

import socket


class LEAKED(Exception):
    pass


for family in [*range(2, 46)]:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind, 0).close()
        except OSError:
            continue
        raise LEAKED(f"family {family}, type {kind}")


def double(x, factor=2.0):
    return factor * x
