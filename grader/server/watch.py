"""Whoever waits for judgings: one look into the database, four times a second, serves all streams of this process."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from grader.errors import OurFault
from grader.records import Progress
from grader.store import Store

_PERIOD_SECONDS = 0.25
_PATIENCE_SECONDS = 15.0
_LINE_SECONDS = 0.5
"""How long places in the line are good for."""

Seen = tuple[Progress, int | None]
"""How far a judging is and, while it is queued, how many come before it."""


class Watch:
    """Looks after judgings while anyone follows them; of one event loop."""

    def __init__(self, store: Store) -> None:
        """Look at nothing yet."""
        self._store = store
        self._followed: Counter[str] = Counter()
        self._seen: dict[str, Seen] = {}
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._line: dict[str, int] = {}
        self._line_until = 0.0
        self._counting = asyncio.Lock()

    async def before(self, judging: str) -> int | None:
        """Return how many come before a judging that waits, as it was a moment ago; a class asks all at once."""
        async with self._counting:
            if time.monotonic() >= self._line_until:
                self._line = await run_in_threadpool(self._store.line)
                self._line_until = time.monotonic() + _LINE_SECONDS
        if judging in self._line:
            return self._line[judging]
        return await run_in_threadpool(self._store.position, judging)  # it has just come, or been claimed

    async def follow(self, judging: str) -> AsyncIterator[Seen | None]:
        """Yield how far a judging is, at each look; None where the database did not answer."""
        self._followed[judging] += 1
        try:
            while True:
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._run())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._looked.wait(), _PATIENCE_SECONDS)
                yield self._seen.get(judging)
        finally:
            self._followed[judging] -= 1
            if not self._followed[judging]:
                del self._followed[judging]

    async def _run(self) -> None:
        while self._followed:
            try:
                self._seen = await run_in_threadpool(self._look, list(self._followed))
            except OurFault:
                self._seen = {}
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            await asyncio.sleep(_PERIOD_SECONDS)

    def _look(self, judgings: list[str]) -> dict[str, Seen]:
        found = self._store.watch(judgings)
        line = self._store.line() if any(each.status == "queued" for each in found) else {}
        return {each.judging: (each, line.get(each.judging)) for each in found}
