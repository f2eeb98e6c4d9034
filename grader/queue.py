"""Tell workers that there is work, over Redis; and sweep: send again what got lost, take back what a dead worker held.

A message is a hint: it names a queue, nothing else. Which judging is taken the store decides when a worker is free, so
priority and fairness are the database's, a message too many finds nothing, and a lost one is sent again by the sweep.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils.url import parse_url
from redis.exceptions import RedisError

from grader.errors import OurFault, UsageError

if TYPE_CHECKING:
    from grader.store import Store

TASK = "grader.judge"
QUEUES = ("cpu", "gpu")
_SCHEMES = ("redis", "rediss", "redis+socket")
_SECONDS = 0.3
"""How long a sender waits for Redis: the student waits too, and the sweep sends what is not sent now."""
_PAUSE_SECONDS = 2.0
"""How long a Redis that did not answer is left alone, lest every request waits for it in turn."""
_MOST = 10_000
"""Messages that the sweep lets wait in a queue: more would only fill Redis."""
_DOWN = (OperationalError, RedisError, OSError)


def address(name: str) -> str:
    """Return the address that the environment gives under this name, or in the file that `NAME_FILE` names.

    Raises:
        UsageError: E4116 neither is set, or there is no such file.

    """
    path = os.environ.get(f"{name}_FILE")
    value = read_file(f"{name}_FILE").decode(errors="replace").strip() if path else os.environ.get(name, "")
    if not value:
        raise UsageError("E4116", f"{name} is not set", hint=f"set it, or {name}_FILE to a file that holds it")
    return value


def read_file(name: str) -> bytes:
    """Return what is in the file that the environment names. Raises UsageError E4116."""
    try:
        return Path(os.environ[name]).read_bytes()
    except OSError as error:
        cause = f"{error.filename}: {error.strerror}"
        raise UsageError(
            "E4116", f"{name} names no file that can be read", cause=cause, hint="mend the name"
        ) from error


def celery(url: str, transport: dict[str, Any]) -> Celery:
    """Return a Celery application that carries messages as JSON over the Redis at `url`, and no results.

    Raises:
        UsageError: E4118 the address is not one of Redis.

    """
    try:
        understood = parse_url(url)["transport"] in _SCHEMES
    except ValueError:  # what it says may hold the password
        understood = False
    if not understood:
        raise UsageError(
            "E4118",
            "the address of the broker is not understood",
            cause="GRADER_BROKER_URL has none of the forms redis://:PASSWORD@HOST:PORT/0 and redis+socket:///PATH",
            hint="rediss:// for TLS; write %40 for @, %2F for / and %23 for # in a password",
        )
    app = Celery("grader", broker=url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        broker_transport_options=transport,
    )
    return app


class Queue:
    """The sender's end; threads may share it."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet. Raises UsageError E4118."""
        self._app = celery(url, {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS, "max_retries": 0})
        self._silent_until = 0.0

    def send(self, queue: str, number: int = 1) -> int:
        """Send messages for a queue; returns how many went out: a Redis that does not answer is no error."""
        out = 0
        if time.monotonic() < self._silent_until:
            return out
        try:
            with self._app.producer_or_acquire() as producer:
                for _ in range(number):
                    self._app.send_task(TASK, (queue,), queue=queue, producer=producer, retry=False, ignore_result=True)
                    out += 1
        except _DOWN:
            self._silent_until = time.monotonic() + _PAUSE_SECONDS
        return out

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue. Raises OurFault E4119."""
        try:
            with self._app.connection_or_acquire() as connection:
                return int(connection.default_channel.client.llen(queue))
        except _DOWN as error:
            raise _down(str(error)) from error

    def close(self) -> None:
        """Close what connections there are."""
        self._app.close()


def sweep(every: float, tell: Callable[[str], None]) -> int:
    """Sweep every so many seconds until Ctrl-C or SIGTERM; addresses are `GRADER_DATABASE_URL`, `GRADER_BROKER_URL`.

    What fails is told once, and tried again; only at the start it is raised. Two that sweep at once do no harm.
    """
    from grader.store import open_store  # noqa: PLC0415 - whoever only sends has a store already

    queue = Queue(address("GRADER_BROKER_URL"))
    store = open_store(address("GRADER_DATABASE_URL"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tell(f"sweeping every {every:g} s")
    told = ""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                sweep_once(store, queue, tell)
                if told:
                    tell("database and broker answer again")
                told = ""
            except OurFault as fault:
                if fault.code != told:
                    tell(f"{fault.what}, trying again: {fault.cause}; {fault.hint}")
                told = fault.code
            time.sleep(every)
    queue.close()
    store.close()
    return 0


def sweep_once(store: "Store", queue: Queue, tell: Callable[[str], None]) -> None:
    """Let what dead workers held wait again, and see that as many messages wait as judgings. Raises OurFault."""
    swept = store.sweep()
    for judging in swept.requeued:
        tell(f"judging {judging} waits again: its worker was lost")
    for judging in swept.given_up:
        tell(f"judging {judging} is given up, for staff to look at: its workers were lost too often")
    for name, waiting in store.waiting().items():
        missing = min(waiting, _MOST) - queue.length(name)
        out = queue.send(name, missing)
        if out < missing:
            raise _down(f"it took {out} of {missing} messages")


def _down(cause: str) -> OurFault:
    hint = "check that Redis runs and has memory, and that GRADER_BROKER_URL is right; nothing is lost meanwhile"
    return OurFault("E4119", "the broker does not answer", cause=cause, hint=hint)
