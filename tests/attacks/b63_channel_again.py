"""Connects to the judge's socket once more, to be asked in the harness's place, and looks for what lies beside it.

Id: B63
Exercise: double
Verdict: accepted
"""

import os
import socket
import stat


class LEAKED(Exception):
    pass


def attempt(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(1.0)
    try:
        connection.connect(path)
    except OSError:
        return
    raise LEAKED(path)


def names():
    for descriptor in range(16):
        try:
            name = socket.socket(fileno=os.dup(descriptor)).getpeername()
        except OSError:
            continue
        if name:
            yield name


for folder, _, files in os.walk("/sandbox"):
    for file in files:
        path = os.path.join(folder, file)
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            attempt(path)
            try:
                os.unlink(path)
            except OSError:
                continue
            raise LEAKED("it could be replaced")
for name in names():
    if os.path.exists(name):
        raise LEAKED(name)


def double(x, factor=2.0):
    return x * factor
