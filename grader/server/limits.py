"""How often one account may do something: a token bucket for each, in this process."""

import threading
import time

from grader.errors import LimitReached

_MOST = 10_000


class Buckets:
    """Buckets that hold `burst` and are filled at `per_minute`; threads may share them."""

    def __init__(self, per_minute: float, burst: float) -> None:
        """Begin with full buckets."""
        self._per_second = per_minute / 60
        self._burst = max(1.0, burst)
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str, what: str) -> None:
        """Take one from a bucket. Raises LimitReached E6106, which says when there will be one again."""
        now = time.monotonic()
        with self._lock:
            if len(self._levels) > _MOST:
                self._levels = {each: found for each, found in self._levels.items() if self._level(*found, now) < 1}
            level = self._level(*self._levels.get(name, (self._burst, now)), now)
            if level >= 1:
                self._levels[name] = level - 1, now
                return
        raise LimitReached(
            "E6106",
            f"too many {what} in a short time",
            cause=f"at most {self._burst:g} at once and {self._per_second * 60:g} a minute",
            hint="wait a little, then try again",
            seconds=(1 - level) / self._per_second,
        )

    def _level(self, level: float, since: float, now: float) -> float:
        return min(self._burst, level + (now - since) * self._per_second)
