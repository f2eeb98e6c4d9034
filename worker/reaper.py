"""Remove what killed judges left behind, once or again and again: `grader sandbox reap`.

Every start of a judging does it too; a machine that judges seldom need not wait for the next one.
"""

import contextlib
import importlib.util
import signal
import time
from collections.abc import Callable

from grader.errors import OurFault
from worker import cgroup, docker


def reap(tell: Callable[[str], None], every: int | None = None) -> int:
    """Remove orphaned containers and control groups, and tell how many; raises OurFault for what could not be.

    With `every` it goes on after so many seconds until Ctrl-C or SIGTERM, silent where nothing is found. What fails is
    told once and tried again.
    """
    if every is None:
        for fault in _once(tell, {}, always=True).values():
            raise fault
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        faults: dict[str, OurFault] = {}
        while True:
            faults = _once(tell, faults, always=False)
            time.sleep(every)
    return 0


def _once(tell: Callable[[str], None], known: dict[str, OurFault], *, always: bool) -> dict[str, OurFault]:
    """Remove what is there; returns what failed, told unless it is `known`. `always`: tell of nothing removed, too."""
    faults = {}
    for what, remove in (("control groups", _groups), ("containers", _containers)):
        try:
            removed = remove()
        except OurFault as fault:
            faults[what] = fault
            if not always and (what not in known or known[what].code != fault.code):
                tell(f"{what}: {fault.what}, trying again; {fault.hint}")
        else:
            if always or removed:
                tell(f"{what} removed: {removed}")
    return faults


def _groups() -> int:
    place = cgroup.find()
    return len(cgroup.remove_orphans(place)) if place else 0


def _containers() -> int:
    """Remove containers; without the SDK this machine never had any of ours."""
    if importlib.util.find_spec("docker") is None:
        return 0
    client = docker.connect()
    try:
        return len(docker.reap(client))
    except OSError as error:
        raise docker.fault(error) from error
    finally:
        client.close()
