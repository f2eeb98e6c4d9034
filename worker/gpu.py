"""The GPUs of a worker: offered to the service, leased for one judging each, cleaned after it, kept back if at fault.

    take       one that is free, leased in the store; the judging that has it is noted there
    examine    once the judging has ended, before its report is stored: does the driver tell of a fault?
    clean      before anybody else has it: memory overwritten, a kernel tried, settings as before, no process left
    keep back  what fails in either: the store says why, until an operator restores it

What a submission says of its GPU proves nothing: only what is seen from here does, in processes of our own.
"""

import logging
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from grader import gpu as gpus
from grader import records
from grader.errors import OurFault
from grader.gpu import Gpu, State
from grader.owner import me
from grader.store import Store
from grader.store.gpus import SEEN_SECONDS, Gpus

SCRUB = Path(__file__).parent / "scrub.py"
_SCRUB_SECONDS = 60.0
_GONE_SECONDS = 10.0
"""How long a killed process may take to let go of a GPU: its kernels are stopped first."""
_LOOK_SECONDS = 0.2
_OFFER_SECONDS = SEEN_SECONDS / 4
log = logging.getLogger(__name__)

Scrub = Callable[[Gpu], str]


def scrub(gpu: Gpu) -> str:
    """Clean a GPU by worker/scrub.py; returns what is not in order."""
    environment = {"CUDA_VISIBLE_DEVICES": gpu.id, "CUDA_CACHE_DISABLE": "1"}
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    try:
        ran = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-I", "-B", str(SCRUB)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SCRUB_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it was not clean after {_SCRUB_SECONDS:g} s"
    return "" if ran.returncode == 0 else " ".join((ran.stdout + ran.stderr).split()) or f"exit {ran.returncode}"


class Lane:
    """This machine's GPUs, as one worker process uses them."""

    def __init__(
        self, store: Store, found: Sequence[Gpu], before: dict[str, State], lease_seconds: float, clean: Scrub = scrub
    ) -> None:
        """Lease from `found`; `before` is the state of each board when the worker began."""
        self._store = Gpus(store)
        self._found = {gpu.id: gpu for gpu in found}
        self._before = before
        self._lease_seconds = lease_seconds
        self._clean = clean

    def take(self) -> "Held | None":
        """Lease one that is free; None where there is none."""
        leased = self._store.lease(list(self._found), me(), self._lease_seconds)
        if leased is None:
            return None
        gpu = self._found[leased.gpu]
        held = Held(self._store, gpu, self._before[gpu.board], self._lease_seconds, self._clean)
        if leased.abandoned and held.examine(thorough=True):
            held.release()
            return None
        return held


class Held:
    """A GPU that this process has leased."""

    def __init__(self, store: Gpus, gpu: Gpu, before: State, lease_seconds: float, clean: Scrub) -> None:
        """Hold it until `release`, as long as `extend` is called."""
        self.id = gpu.id
        self._store, self._gpu, self._before = store, gpu, before
        self._lease_seconds, self._clean = lease_seconds, clean
        self._is_clean = True

    def assign(self, judging: str) -> None:
        """Note what runs on it from here on."""
        self._store.assign(self.id, me(), judging)
        self._is_clean = False

    def extend(self) -> bool:
        """Hold on to it; False if it is no longer ours."""
        return self._store.extend(self.id, me(), self._lease_seconds)

    def examine(self, *, thorough: bool) -> str:
        """Say what is broken once a judging has ended, if anything, and keep it back then; `thorough`: clean it too."""
        try:
            faults = gpus.state(self._gpu.board).faults()
        except OurFault as fault:
            faults = [f"{fault.what}: {fault.cause}"]
        reason = "; ".join(faults)
        if not reason and thorough:
            reason = self._cleaned()
        return self._keep_back(reason)

    def release(self) -> None:
        """Clean it unless that is done, and let it go: to the others, or to nobody."""
        self.extend()  # for as long as that takes
        self._keep_back("" if self._is_clean else self._cleaned())
        self._store.release(self.id, me())

    def _cleaned(self) -> str:
        """Make it as it was before; returns what is not."""
        try:
            reason = self._processes_left() or self._clean(self._gpu)
            after = gpus.state(self._gpu.board)
        except OurFault as fault:
            return f"{fault.what}: {fault.cause}"
        self._is_clean = True
        return reason or "; ".join([*after.faults(), *after.changes(self._before)])

    def _processes_left(self) -> str:
        """Wait until nobody computes on it; on a slice others may, and the driver tells of the board alone."""
        limit = time.monotonic() + _GONE_SECONDS
        while self._gpu.id == self._gpu.board and (left := gpus.state(self._gpu.board).processes):
            if time.monotonic() > limit:
                return f"processes are left on it: {', '.join(map(str, left))}"
            time.sleep(_LOOK_SECONDS)
        return ""

    def _keep_back(self, reason: str) -> str:
        if reason and self._store.quarantine(self.id, reason):
            log.error("a GPU is kept from everybody", extra={"fields": {"gpu": self.id, "cause": reason}})
        return reason


def begin(store: Store, found: Sequence[Gpu]) -> dict[str, State]:
    """Offer GPUs, keep back what is at fault from the start, and return the state of each board."""
    table = Gpus(store)
    offer(store, found)
    before = {}
    for gpu in found:
        before[gpu.board] = gpus.state(gpu.board)
        if faults := before[gpu.board].faults():
            table.quarantine(gpu.id, "; ".join(faults))
            log.error("a GPU is kept from everybody", extra={"fields": {"gpu": gpu.id, "cause": "; ".join(faults)}})
    return before


def offer(store: Store, found: Sequence[Gpu]) -> None:
    """Tell the service which GPUs there are here."""
    now = [records.Gpu(id=gpu.id, model=gpu.model, driver=gpu.driver, memory_mib=gpu.memory_mib) for gpu in found]
    Gpus(store).offer(platform.node(), now)


def go_on_offering(store: Store, found: Sequence[Gpu], every: float = _OFFER_SECONDS) -> Callable[[], None]:
    """Tell the service again and again, from a thread; returns what ends that."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            try:
                offer(store, found)
            except OurFault as fault:
                log.warning("the store failed", extra={"fields": {"code": fault.code, "cause": fault.cause}})

    threading.Thread(target=run, name="offer", daemon=True).start()
    return over.set
