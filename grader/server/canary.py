"""The canary: now and then the server sends an exercise's starter the way of every submission.

That its judging ends with a verdict of its own, and soon, shows that database, queue, workers and sandboxes work.
"""

import datetime as dt
import logging
import threading
import time
from typing import TYPE_CHECKING

from grader import judge
from grader.errors import GraderError
from grader.server.catalogue import Catalogue, queue_of
from grader.server.settings import Settings
from grader.store import Store
from grader.verdict import Verdict

if TYPE_CHECKING:
    from grader.server.service import Bell

_log = logging.getLogger(__name__)

PRIORITY = 1000
"""Before everyone: a long queue is no reason to call the server sick."""
_LOOK_SECONDS = 1.0


class Canary:
    """A thread that sends canaries, and remembers when the last one came back."""

    def __init__(self, settings: Settings, store: Store, bell: "Bell", catalogue: Catalogue) -> None:
        """Start nothing yet."""
        self._exercise = settings.canary
        self._every = settings.canary_seconds
        self._store = store
        self._bell = bell
        self._catalogue = catalogue
        self._back_at: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)

    @property
    def wanted(self) -> bool:
        """Whether canaries are sent at all."""
        return bool(self._exercise)

    @property
    def age_seconds(self) -> float | None:
        """How long ago the last canary came back; None if none has."""
        return None if self._back_at is None else time.monotonic() - self._back_at

    @property
    def fresh(self) -> bool:
        """Whether a canary came back lately, where any is sent."""
        age = self.age_seconds
        return not self.wanted or (age is not None and age <= 3 * self._every)

    def start(self) -> None:
        """Begin to send canaries, if any are wanted."""
        if self.wanted:
            self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if self._is_judged():
                    self._back_at = time.monotonic()
            except GraderError as error:
                _log.warning("canary: %s: %s: %s", error.code, error.what, error.cause)
            self._stopped.wait(self._every)

    def _is_judged(self) -> bool:
        """Send one, and tell whether it came back before the next one is due."""
        exercise = self._catalogue.load(self._exercise)
        queued = self._store.add_submission(
            # One learner a day: a history that grows for ever would slow each further canary.
            learner=f"canary {dt.datetime.now(dt.UTC):%Y-%m-%d}",
            exercise=exercise.name,
            version=exercise.version,
            title=exercise.title,
            filename=f"{exercise.module}.py",
            source=exercise.starter.encode(),
            seed=judge.new_seed(),
            device=exercise.device,
            queue=queue_of(exercise),
            priority=PRIORITY,
        )
        self._bell.send(queue_of(exercise))
        deadline = time.monotonic() + self._every
        while time.monotonic() < deadline and not self._stopped.wait(_LOOK_SECONDS):
            progress = self._store.progress(queued.judging)
            if progress.status == "done":
                return progress.verdict is not Verdict.INTERNAL_ERROR
        return False
