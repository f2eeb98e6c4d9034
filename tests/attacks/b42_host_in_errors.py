"""Puts all that it can learn about the host into the one error text that is shown, that of the import.

Id: B42
Exercise: double
Verdict: import_error
Tells: folders (the mount table names where a library was bound from; docs/red-team.md)
"""

import os
import socket

known = [socket.gethostname(), os.getcwd(), repr(dict(os.environ))]
for line in open("/proc/self/mountinfo"):
    root, place = line.split()[3:5]
    if root != "/":
        known.append(root)
for path in ("/proc/self/cgroup", "/proc/1/cmdline", "/proc/1/environ", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
    try:
        known.append(open(path).read()[:80])
    except OSError:
        pass
raise RuntimeError(" ".join(known)[:300])
