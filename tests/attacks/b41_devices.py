"""Opens every device it finds, and makes devices of its own.

Id: B41
Exercise: double
Verdict: accepted
"""

import contextlib
import os
import stat


class LEAKED(Exception):
    pass


HARMLESS = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
for folder, _, files in os.walk("/dev"):
    for name in set(files) - HARMLESS:
        path = os.path.join(folder, name)
        if stat.S_ISBLK(os.lstat(path).st_mode) or stat.S_ISCHR(os.lstat(path).st_mode) and "pts" not in folder:
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
                raise LEAKED(path)
for number, (kind, major, minor) in enumerate([(stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 1, 1)]):
    for folder in ("/tmp", "/dev", "/dev/shm"):
        with contextlib.suppress(OSError):
            os.mknod(f"{folder}/node{number}", kind | 0o666, os.makedev(major, minor))
            os.close(os.open(f"{folder}/node{number}", os.O_RDONLY))
            raise LEAKED(f"device {major}:{minor}")


def double(x, factor=2.0):
    return factor * x
