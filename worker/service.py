"""`grader worker`: Celery takes the messages and keeps the processes; each judges by `worker.judging`.

    GRADER_DATABASE_URL   the store
    GRADER_BROKER_URL     the Redis that carries the messages
    GRADER_ENGINE         what isolates submissions: auto, docker or bubblewrap
    GRADER_ISOLATION      what each sandbox has of its own: `container` (the default) or `fork`, see grader/zygote.py
    GRADER_STANDBYS       how many sandboxes each process may keep started ahead (3), see grader/pool.py
    GRADER_SECRET_FILE    the key of all random inputs, the same on every machine; GRADER_HOME/secret unless said
    GRADER_LEASE_SECONDS  how long a judging is left to a worker that gives no sign of life (60)
    GRADER_GRACE_SECONDS  how long judgings may go on after SIGTERM before they are put back (30)

The first two may be in files instead, named by GRADER_DATABASE_URL_FILE and GRADER_BROKER_URL_FILE.

Time limits nest: a call's in the judging's, the judge's three tries in Celery's soft limit, that in the hard one, all
in the time after which Redis gives a message to another worker. What outlasts the soft limit counts as a lost worker.
They follow from the exercises that are here at the start: restart workers after adding one that takes longer.
"""

import functools
import importlib.util
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from billiard import active_children
from billiard.util import get_logger as billiard_logger
from celery import Celery, signals
from celery.exceptions import Reject

from grader import config, gate
from grader import exercise as exercises
from grader.engine import choose
from grader.errors import ExerciseError, UsageError
from grader.exercise import Isolation, Limits
from grader.pool import Pool
from grader.queue import QUEUES, TASK, address, celery, read_file
from grader.server.catalogue import Catalogue
from grader.store import open_store
from worker.judging import Judges

_LEASE_SECONDS = 60.0
_GRACE_SECONDS = 30.0
_MARGIN_SECONDS = 60.0
_AROUND_SECONDS = 180.0
_SECRET_BYTES = 16
"""Fewer could be guessed."""
_DEATHS = "celery.worker.request"
"""Where Celery tells, with a traceback of its own code, of limits passed and of processes that were killed."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """All that a worker is told by its environment."""

    database: str
    broker: str
    engine: str
    isolation: Isolation
    standbys: int
    secret: bytes
    lease_seconds: float
    grace_seconds: float


def read() -> Settings:
    """Read the settings; raises UsageError E4116 that names the one that is missing or wrong."""
    common = config.read()
    return Settings(
        database=address("GRADER_DATABASE_URL"),
        broker=address("GRADER_BROKER_URL"),
        engine=common.engine,
        isolation=common.isolation,
        standbys=common.standbys,
        secret=_secret() if os.environ.get("GRADER_SECRET_FILE") else common.secret(),
        lease_seconds=_seconds("GRADER_LEASE_SECONDS", _LEASE_SECONDS),
        grace_seconds=_seconds("GRADER_GRACE_SECONDS", _GRACE_SECONDS),
    )


def _secret() -> bytes:
    secret = read_file("GRADER_SECRET_FILE")
    if len(secret) < _SECRET_BYTES:
        raise UsageError(
            "E4117",
            "the secret is too short",
            cause=f"GRADER_SECRET_FILE names a file of {len(secret)} bytes",
            hint="head -c 32 /dev/urandom > FILE, once, and copy it to every worker",
        )
    return secret


def _seconds(name: str, default: float) -> float:
    value = os.environ.get(name) or str(default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise UsageError("E4116", f"{name} is no number of seconds", cause=repr(value), hint="for example 60")
    return seconds


def longest(limits: Limits) -> float:
    """Return how many seconds `grader.judge` takes at most: three tries, each with start, end and judging."""
    return 3 * (_AROUND_SECONDS + limits.judging_seconds)


def serve(queues: Sequence[str], concurrency: int | None) -> int:
    """Judge what waits in `queues`, so many at a time (all cores unless said), until SIGTERM.

    Raises UsageError or OurFault at the start, where this machine could not do its work.
    """
    if unknown := set(queues) - set(QUEUES):
        raise UsageError("E2101", f"there is no queue {min(unknown)!r}", hint=f"one of {', '.join(QUEUES)}")
    settings = read()
    _log_as_json()
    store, catalogue = open_store(settings.database), Catalogue()
    longest_seconds = _prepare(settings.engine, catalogue)

    @functools.cache
    def judges(_pid: int) -> Judges:
        # Celery sets the signals of a new process after all of its hooks: ours are set at its first task.
        pool = Pool(settings.engine, isolated=True, isolation=settings.isolation, standbys=settings.standbys)
        signals.worker_process_shutdown.connect(lambda **_: pool.close(), weak=False)
        return Judges(
            store,
            catalogue,
            pool,
            secret=settings.secret,
            lease_seconds=settings.lease_seconds,
        )

    store.close()  # each process has connections of its own
    worker = application(settings.broker, longest_seconds, lambda queue: judges(os.getpid()).take(queue)).Worker(
        queues=list(queues),
        concurrency=concurrency or len(os.sched_getaffinity(0)),
        optimization="fair",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    drain = _drain(settings.grace_seconds)
    signals.worker_shutting_down.connect(drain)
    signals.worker_ready.connect(_tell_ready)
    worker.start()
    return int(worker.exitcode or 0)


def _prepare(engine: str, catalogue: Catalogue) -> float:
    """Check the engine and load what judgings need, once for all processes; return the longest judging's seconds."""
    found = []
    for name in exercises.names():
        try:
            found.append(catalogue.load(name))
        except ExerciseError as error:
            log.warning("%s is not judged here: %s", name, error.what)
    for exercise in {each.kind: each for each in found}.values():
        if importlib.util.find_spec(exercise.kind):
            choose(engine, exercise.kind, log.warning, isolated=True).check(exercise.kind)
            gate.preload(exercise)
    return max((longest(each.limits) for each in found), default=0.0)


def application(broker: str, longest_seconds: float, take: Callable[[str], bool]) -> Celery:
    """Return the application whose only task is to `take` what is first in a queue; where that says no, others may."""
    soft = longest_seconds + _MARGIN_SECONDS
    hard = soft + _MARGIN_SECONDS
    app = celery(broker, {"visibility_timeout": 2 * hard})
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=soft,
        task_time_limit=hard,
        # A message is fetched when a process is free, not before. By a prefetch count a worker would stand still for
        # ever once Redis was away at an acknowledgement, which counts as not given then.
        worker_prefetch_multiplier=0,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
    )

    def judge_next(queue: str) -> None:
        if not take(queue):
            raise Reject("somebody is to judge it", requeue=True)

    app.task(judge_next, name=TASK)
    return app


def _drain(grace_seconds: float) -> Callable[..., None]:
    """Return what SIGTERM does besides: after the grace period, or at the second one, all is put back."""
    timer = threading.Timer(grace_seconds, _put_back)
    timer.daemon = True

    def on_signal(**_: object) -> None:
        if timer.ident is None:
            timer.start()
        else:
            _put_back()

    return on_signal


def _put_back() -> None:
    for process in active_children():
        process.terminate()


def _tell_ready(**_: object) -> None:
    log.info("ready")


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; the fields of ours stand beside the message."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.levelno >= logging.ERROR and record.name != _DEATHS:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _log_as_json() -> None:
    """Write what we and Celery have to say to stderr; of Celery only what is not in order."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("worker").setLevel(logging.INFO)
    logging.getLogger("celery.worker.consumer.connection").setLevel(logging.INFO)  # that Redis is back
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)  # each message that goes back is a warning to it
    billiard_logger().addHandler(handler)  # which hands nothing up
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)  # Celery's: of root, of what runs on without Redis
    signals.setup_logging.connect(_leave_alone)


def _leave_alone(**_: object) -> None:
    """Keep Celery from setting up logging of its own."""
