"""Run the API: over PostgreSQL and a broker, or embedded, judging in the same process tree over SQLite."""

import signal
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from grader import config
from grader.server.settings import Settings
from grader.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.server.service import Bell

_DRAIN_SECONDS = 10
"""How long requests and streams under way may take to end after SIGTERM."""
_SWITCH_SECONDS = 0.0005
"""How long a thread may keep others waiting: Python's 5 ms are as long as a request takes, and it has many turns."""
_IDLE_SECONDS = 75
"""How long a connection without a request stays open: longer than a proxy's, lest it uses one that is closing."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises what opening the store, or the engine, raises."""
    # The judges are forked first: nothing may have started a thread before.
    sys.setswitchinterval(_SWITCH_SECONDS)
    with _bell(settings) as bell, closing(open_store(address(settings))) as store:
        from grader.server.app import create  # noqa: PLC0415  loads after the fork, while the judges do

        # Having ended its requests, uvicorn raises the signal once more: it must not end us before the judges.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        uvicorn.run(
            create(settings, store, bell),
            host=host,
            port=port,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            timeout_keep_alive=_IDLE_SECONDS,
            server_header=False,
            access_log=False,
        )


def address(settings: Settings) -> Path | str:
    """Return where the database is: in the file of GRADER_HOME unless an address is set."""
    return settings.database_url.get_secret_value() or config.read().database


@contextmanager
def _bell(settings: Settings) -> "Iterator[Bell]":
    """Give what tells those who judge: the broker, or processes of our own."""
    if not settings.embedded:
        from grader.queue import Queue  # noqa: PLC0415  not installed with the judge of a workshop

        with closing(Queue(settings.broker_url.get_secret_value())) as queue:
            yield queue
        return
    from grader.server.judges import Judges  # noqa: PLC0415  brings the judge, which an API alone does without

    judges = Judges(config.read(), address(settings), settings.concurrency)
    try:
        yield judges
    finally:
        judges.stop()
