"""What Prometheus is told: requests by route and status, counted here; queues and verdicts, read from the database."""

import datetime as dt
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grader import __version__
from grader.server import problems
from grader.store import Store

if TYPE_CHECKING:
    from grader.verdict import Verdict

_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)

_COUNT_SECONDS = 60.0
"""How long the verdicts counted are good for: counting a million takes a tenth of a second."""


class Metrics:
    """ASGI middleware that measures each request from its first byte to the first byte of the answer."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        """Wrap an application."""
        self._app = app
        self._seconds = Histogram(
            "grader_request_seconds",
            "Requests by route and status, and how long the answer took to begin.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        def count(status: str) -> None:
            # The route's pattern: an address may hold ids, or anything at all.
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if route != "none" else "any"
            self._seconds.labels(method, route, status).observe(time.perf_counter() - started)

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault(problems.VERSION_HEADER, __version__)
                headers.setdefault("Cache-Control", "no-store")  # tokens, and what is one person's own
                count(str(message["status"]))
            await send(message)

        try:
            await self._app(scope, receive, measured)
        except Exception:  # what nobody foresaw is answered further out
            count("500")
            raise


class Database(Collector):
    """What waits and what was judged, as the database has it when Prometheus asks."""

    def __init__(self, store: Store) -> None:
        """Read nothing yet."""
        self._store = store
        self._verdicts: dict[Verdict, int] = {}
        self._count_again = 0.0

    def describe(self) -> list[GaugeMetricFamily]:
        """Describe nothing ahead: that would read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the database. Raises OurFault where it does not answer."""
        now = dt.datetime.now(dt.UTC)
        length = GaugeMetricFamily("grader_queue_length", "Judgings that wait, by queue.", labels=["queue"])
        oldest = GaugeMetricFamily(
            "grader_queue_oldest_seconds", "How long the oldest of them has waited.", labels=["queue"]
        )
        since = self._store.oldest()
        for queue, number in self._store.waiting().items():
            length.add_metric([queue], number)
            if queue in since:
                oldest.add_metric([queue], max(0.0, (now - since[queue]).total_seconds()))
        judged = GaugeMetricFamily("grader_judgings", "Judgings that are done, by verdict.", labels=["verdict"])
        if time.monotonic() >= self._count_again:
            self._verdicts = self._store.verdicts()
            self._count_again = time.monotonic() + _COUNT_SECONDS
        for verdict, number in self._verdicts.items():
            judged.add_metric([verdict.value], number)
        yield from (length, oldest, judged)
