"""Who holds a judging: a name for this very process, and whether such a process still lives.

An owner is `host:boot:namespace:pid:start`. The boot id and the pid namespace tell in which world
the pid counts; the start time (clock ticks since boot) tells a process from a later one that got
the same pid. Where /proc is missing nothing is known, and the lease alone decides.
"""

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_PARTS = 5


def me() -> str:
    """Return the owner text of this process; after a fork it is another one."""
    return ":".join([socket.gethostname().replace(":", "-"), *_world(), str(os.getpid()), _start("self")])


def is_alive(owner: str) -> bool | None:
    """Tell whether the process behind `owner` lives; None if that cannot be known from here."""
    parts = owner.split(":")
    if len(parts) != _PARTS:
        return None
    host, boot, namespace, pid, start = parts
    here = _world()
    if not all((boot, namespace, start, *here)):
        return None
    if boot != here[0]:
        # Another boot id on a machine of our name: it has restarted since, and took the process along.
        return False if host == socket.gethostname().replace(":", "-") else None
    if namespace != here[1]:
        return None
    return _start(pid) == start


def _world() -> tuple[str, str]:
    """Return boot id and pid namespace, empty where the system does not tell."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Reads "pid:[4026531836]"; the number is what differs between containers.
        namespace = str((_PROC / "self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return "", ""
    return boot, namespace


def _start(pid: str) -> str:
    """Return when the process started; empty if there is none or only its zombie is left."""
    try:
        stat = (_PROC / pid / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name (second field) may hold spaces and brackets; the fields counted here follow it.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
