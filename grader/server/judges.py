"""Judging beside an embedded server: a process tree of its own, over the same SQLite file, without a broker.

the server            threads; rings
+-- keeper            forked before any thread; starts a lane anew where one died
    +-- lane 1..N     takes one waiting judging at a time; forks its judge, has no thread
        +-- judge     as everywhere (`grader.judge`), with its sandbox
"""

import contextlib
import importlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from grader import exercise as exercises
from grader import judge, local, notebook
from grader.config import Config
from grader.engine import choose
from grader.errors import GraderError
from grader.owner import me
from grader.pool import Pool
from grader.records import Claim
from grader.store import Store, open_store

_LEASE_SECONDS = 900.0
"""Longer than any judging: whether the holder lives is seen by its process."""
_LOOK_SECONDS = 5.0
"""How long a lane waits for the bell before it looks by itself."""
_SWEEP_SECONDS = 30.0
_PAUSE_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger(__name__)


class Judges:
    """The server's end: rings when a judging is queued, stops all at the end."""

    def __init__(self, config: Config, database: Path | str, lanes: int) -> None:
        """Fork the keeper; call it before any thread is started.

        Raises OurFault or UsageError where no engine that isolates works on this machine.
        """
        config = replace(config, isolated=True)  # other people's files
        choose(config.engine, "numpy", _log.warning, isolated=True).check("numpy")
        ears, self._bell = os.pipe()
        os.set_blocking(ears, False)
        os.set_blocking(self._bell, False)
        self._keeper = _fork(lambda: _keep(config, database, lanes, ears))
        os.close(ears)

    def send(self, queue: str, number: int = 1) -> int:
        """Ring so many times, for whichever queue; a full pipe has rung enough."""
        del queue
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            return os.write(self._bell, b"." * min(number, select.PIPE_BUF))
        return 0

    def stop(self) -> None:
        """End all; a judging that runs goes back into the queue."""
        os.close(self._bell)
        os.kill(self._keeper, signal.SIGTERM)
        os.waitpid(self._keeper, 0)


def _leave(work: Callable[[], None]) -> None:
    """Do the work of a forked child and end, without running anything of the parent's."""
    try:
        local.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then stops us
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        work()
    except KeyboardInterrupt:
        pass
    except BaseException:  # noqa: BLE001  whatever it is, it is ours; the keeper starts a lane anew
        _log.exception("a process that judges has failed")
    finally:
        os._exit(0)


def _keep(config: Config, database: Path | str, lanes: int, ears: int) -> None:
    """Keep that many lanes alive, until SIGTERM."""
    judge.one_thread()
    local.let_others_first(session=False)
    importlib.import_module("grader.suite")  # NumPy and pytest, once for all judges to come
    running: set[int] = set()
    try:
        while True:
            while len(running) < lanes:
                running.add(_fork(lambda: _serve(config, database, ears)))
            running.remove(os.wait()[0])
            time.sleep(_PAUSE_SECONDS)  # one that cannot even start must not be tried in a circle
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for lane in running:
            os.kill(lane, signal.SIGTERM)
        for lane in running:
            os.waitpid(lane, 0)


def _fork(work: Callable[[], None]) -> int:
    """Start a child; no signal reaches it before it has its own handlers, or it would run the parent's."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = os.fork()
    if pid == 0:
        _leave(work)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return pid


def _serve(config: Config, database: Path | str, ears: int) -> None:
    """Judge one waiting judging after the other, until SIGTERM."""
    store = open_store(database)
    pool = Pool(config.engine, isolated=config.isolated, isolation=config.isolation, standbys=config.standbys)
    with contextlib.closing(pool):
        _take_turns(store, config, pool, ears)


def _take_turns(store: Store, config: Config, pool: Pool, ears: int) -> None:
    swept = 0.0
    resting: set[str] = set()
    while True:
        if time.monotonic() - swept > _SWEEP_SECONDS:
            store.sweep()
            swept = time.monotonic()
            resting.clear()
        claim = _next(store, resting)
        if claim is None:
            select.select([ears], [], [], _LOOK_SECONDS)
            with contextlib.suppress(BlockingIOError):
                os.read(ears, 1)
            continue
        try:
            _judge(store, claim, config, pool)
        except KeyboardInterrupt:
            store.release(claim)
            raise
        except GraderError as error:  # it waits, and others go first: the exercise or an engine is amiss
            _log.warning("judging %s waits: %s: %s: %s", claim.judging, error.code, error.what, error.cause)
            store.release(claim)
            resting.add(claim.exercise)


def _next(store: Store, resting: set[str]) -> Claim | None:
    """Claim what is first in a line, if anything waits."""
    for queue in ("cpu", "gpu"):
        claim = store.claim_next(queue, me(), _LEASE_SECONDS, without=resting)
        if claim is not None:
            return claim
    return None


def _judge(store: Store, claim: Claim, config: Config, pool: Pool) -> None:
    exercise = exercises.load(claim.exercise)
    if claim.overruled:
        exercise = exercise.without_policy()
    process = pool.start(exercise)
    try:
        process.started(_log.warning)
        store.note(claim, "ready")
        report = process.run(
            claim.source, seed=claim.seed, secret=config.secret(), places=notebook.places(claim.filename, claim.source)
        )
        store.note(claim, "judged")
        store.finish(claim, report)
    finally:
        process.close()
