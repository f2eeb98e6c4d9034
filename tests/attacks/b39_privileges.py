"""Looks whether it has capabilities, may gain privileges, or runs without a filter of system calls.

Id: B39
Exercise: double
Verdict: accepted
"""

import os
import subprocess


class LEAKED(Exception):
    pass


status = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
for name, wanted in {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapAmb": "0" * 16}.items():
    if status[name] != wanted:
        raise LEAKED(f"{name} {status[name]}")
for name in ("su", "mount", "passwd", "newgrp", "sudo", "ping"):
    for folder in ("/usr/bin", "/bin", "/usr/sbin"):
        path = os.path.join(folder, name)
        if os.path.exists(path) and os.stat(path).st_mode & 0o6000:
            try:
                subprocess.run([path, "--help"], capture_output=True, timeout=0.3)
            except (OSError, subprocess.TimeoutExpired):
                pass
for call in (os.setuid, os.setgid, lambda number: os.setgroups([number])):
    try:
        call(0)
    except OSError:
        continue
    raise LEAKED("became root")


def double(x, factor=2.0):
    return factor * x
