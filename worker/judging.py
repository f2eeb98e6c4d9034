"""One worker process: claim what is first in a queue, judge it, store the report.

    claim       the store gives the judging that is first in the line: by priority, in turn, by age; or none
    judge       forked at once, before the thread that extends the lease starts
    started     the sandbox's process runs: the phase `ready`
    report      stored if the claim is still ours, again and again while the database is away

What ends a judging early: the claim was lost to another worker (this process was paused for too long), the worker has
to go (SIGTERM), or this machine cannot judge the exercise. Nothing of it is stored then, and no attempt is used.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from grader import local, notebook
from grader.errors import GraderError, OurFault
from grader.owner import me
from grader.pool import Pool
from grader.records import Claim
from grader.report import Report
from grader.server.catalogue import Catalogue
from grader.store import LOST_TRIES, Store
from grader.verdict import Verdict

if TYPE_CHECKING:
    from types import FrameType

_LOST = signal.SIGUSR2
_AGAIN_SECONDS = 1.0
_MOST_REST_SECONDS = 60.0
log = logging.getLogger(__name__)


class _Stopped(BaseException):
    """The judging under way has to end."""


class Judges:
    """Judges one submission at a time; made in the process that judges, whose signals it handles."""

    def __init__(self, store: Store, catalogue: Catalogue, pool: Pool, *, secret: bytes, lease_seconds: float) -> None:
        """From now on SIGTERM means: put back what is being judged or, where nothing is, end."""
        local.let_others_first(session=os.getsid(0) == os.getppid())  # the worker's own, not a terminal's
        self._store = store
        self._catalogue = catalogue
        self._pool = pool
        self._secret = secret
        self._lease_seconds = lease_seconds
        self._faults: dict[str, tuple[int, float]] = {}
        """Exercises that could not be judged: how often in a row, and until when they are left to others."""
        self._told = ""
        self._pid = os.getpid()
        self._busy = self._judging = self._leaving = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(_LOST, self._on_signal)

    def take(self, queue: str) -> bool:
        """Judge what is first in a queue, if anything is; tell whether it needs nobody else."""
        self._busy = True
        try:
            resting = [name for name, (_, until) in self._faults.items() if time.monotonic() < until]
            claim = self._store.claim_next(queue, me(), self._lease_seconds, without=resting)
            self._told = ""
            return claim is None or self._judge(claim)
        except OurFault as fault:  # the database is away: a lease that we hold runs out, and the sweep finds it
            if fault.code != self._told:
                _say(logging.WARNING, "the store failed", code=fault.code, what=fault.what, cause=fault.cause)
            self._told = fault.code
            time.sleep(_AGAIN_SECONDS)
            return False
        finally:
            self._busy = self._leaving = False

    def _judge(self, claim: Claim) -> bool:
        process = heartbeat = None
        try:
            exercise = self._catalogue.load(claim.exercise)
            exercise = exercise.without_policy() if claim.overruled else exercise
            process = self._pool.start(exercise)
            heartbeat = _Heartbeat(self._store, claim, self._lease_seconds)
            with self._stoppable():
                process.started()
                with contextlib.suppress(OurFault):
                    self._store.note(claim, "ready")
                report = process.run(
                    claim.source,
                    seed=claim.seed,
                    secret=self._secret,
                    places=notebook.places(claim.filename, claim.source),
                )
        except _Stopped:
            return self._give_way(claim)
        except GraderError as error:
            return self._put_back(claim, error)
        else:
            self._faults.pop(claim.exercise, None)
            return self._give_way(claim) if heartbeat.late() else self._end(claim, report, heartbeat)
        finally:
            if heartbeat is not None:
                heartbeat.stop()
            if process is not None:
                process.close()

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Let signals raise _Stopped; one may have come already."""
        self._judging = True
        try:
            if self._leaving:
                raise _Stopped
            yield
        finally:
            self._judging = False

    def _on_signal(self, number: int, _frame: "FrameType | None") -> None:
        if os.getpid() != self._pid:  # a judge's child that has not set its own yet
            os._exit(1)
        self._leaving |= number == signal.SIGTERM
        if self._judging:
            self._judging = False
            raise _Stopped
        if not self._busy and self._leaving:
            raise SystemExit(0)

    def _give_way(self, claim: Claim) -> bool:
        """Put back what was stopped, which counts for nothing, unless another worker has it already."""
        kept = self._store.release(claim)
        _say(logging.WARNING, "stopped and put back" if kept else "stopped, another has it", claim)
        return not kept

    def _put_back(self, claim: Claim, error: GraderError) -> bool:
        """Leave a judging to others, or to a later moment: nothing was begun, and it counts for nothing."""
        self._store.release(claim)
        times, _ = self._faults.get(claim.exercise, (0, 0.0))
        rest = min(2.0**times, _MOST_REST_SECONDS)
        self._faults[claim.exercise] = times + 1, time.monotonic() + rest
        _say(
            logging.ERROR, "put back, cannot be judged here", claim,
            code=error.code, what=error.what, cause=error.cause, hint=error.hint, rest_seconds=rest,
        )  # fmt: skip
        return False

    def _end(self, claim: Claim, report: Report, heartbeat: "_Heartbeat") -> bool:
        """Store a report; one of a fault of ours at the last try only: until then the sweep gives it out again."""
        failed = report.verdict is Verdict.INTERNAL_ERROR
        if failed and claim.lost + 1 < LOST_TRIES:
            heartbeat.stop()
            self._store.extend(claim, 0.0)
            cause = report.log.strip().rpartition("\n")[2]
            _say(logging.ERROR, "internal_error, to be judged again", claim, cause=cause)
            return True
        stored = self._store_report(claim, report)
        _say(
            logging.WARNING if not stored else logging.ERROR if failed else logging.INFO,
            "judged" if stored else "judged, but not ours to store", claim,
            verdict=report.verdict.value, engine=report.environment.engine, ms=self._milliseconds(claim),
        )  # fmt: skip
        return True

    def _store_report(self, claim: Claim, report: Report) -> bool:
        told = False
        while True:
            try:
                return self._store.finish(claim, report)
            except OurFault as fault:
                if self._leaving:
                    raise
                if not told:
                    _say(logging.WARNING, "the report waits for the store", claim, code=fault.code, cause=fault.cause)
                told = True
                time.sleep(_AGAIN_SECONDS)

    def _milliseconds(self, claim: Claim) -> dict[str, int]:
        """Return how long each phase took from the one before; nothing where the store cannot tell."""
        with contextlib.suppress(OurFault):
            moments = self._store.progress(claim.judging).phases.items()
            return {
                name: round((moment - before).total_seconds() * 1000)
                for (_, before), (name, moment) in pairwise(moments)
            }
        return {}


class _Heartbeat:
    """Extends a lease from a thread; signals the main thread once the claim is no longer ours.

    A process that was paused for longer than the lease gives way by itself: its clocks have run on, and charged the
    submission for it.
    """

    def __init__(self, store: Store, claim: Claim, lease_seconds: float) -> None:
        """Start it."""
        self._store = store
        self._claim = claim
        self._lease_seconds = lease_seconds
        self._last = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def late(self) -> bool:
        """Tell whether the last beat was so long ago that the judging may be another's by now."""
        return time.monotonic() - self._last > self._lease_seconds

    def stop(self) -> None:
        """End it; safe to call twice."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._lease_seconds / 3):
            began = time.monotonic()
            if self.late() or not self._extend():
                signal.pthread_kill(threading.main_thread().ident or 0, _LOST)
                return
            self._last = began  # not when the answer came: a pause in between would go unseen

    def _extend(self) -> bool:
        try:
            return self._store.extend(self._claim, self._lease_seconds)
        except OurFault:
            return True  # the database is away: the claim stays ours unless another has it once the database is back


def _say(level: int, text: str, claim: Claim | None = None, **more: Any) -> None:
    about = {}
    if claim is not None:
        about = {
            "judging": claim.judging,
            "submission": claim.submission,
            "exercise": claim.exercise,
            "version": claim.version,
            "try": claim.token,
            "lost": claim.lost,
        }
    log.log(level, text, extra={"fields": about | more})
