"""Attaches to other processes, and writes to the memory of any that may do more than itself.

Id: B37
Exercise: double
Verdict: accepted
"""

import ctypes
import os


class LEAKED(Exception):
    pass


def confinement(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return [line for line in lines if line.startswith(("Uid", "Gid", "Groups", "CapEff", "CapPrm", "NoNewPrivs", "Seccomp:"))]


libc = ctypes.CDLL(None, use_errno=True)
mine = os.getpid()
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    if pid == mine:
        continue
    for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
        if libc.ptrace(request, pid, 0, 0) == 0:
            raise LEAKED(f"ptrace {pid}")
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
    except OSError:
        continue
    if confinement(pid) != confinement("self"):
        raise LEAKED(f"memory of {pid}: {confinement(pid)}")


def double(x, factor=2.0):
    return factor * x
