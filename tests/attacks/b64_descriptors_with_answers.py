"""Sends descriptors along with bytes into every channel, so that the judge holds what it never opened.

Id: B64
Exercise: double
Verdict: protocol_violation
"""

import array
import os
import socket


def double(x, factor=2.0):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    for descriptor in range(3, 16):
        try:
            socket.socket(fileno=os.dup(descriptor)).sendmsg([b"{" * 64], rights)
        except OSError:
            try:
                os.write(descriptor, b"{" * 64)
            except OSError:
                pass
    return x * factor
