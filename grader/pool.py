"""Slots kept ready for one process that judges again and again."""

from typing import Protocol, runtime_checkable

from grader import judge
from grader.engine import Engine, Kind, choose
from grader.exercise import Exercise, Isolation, Limits
from grader.slot import Slot, Slots

MOST_JUDGINGS = 200
"""After so many a slot is replaced: what nobody has thought of does not pile up."""
_TIMED_SLOTS = 3
"""For the submission, for the reference, and for the submission with little memory."""
_MOST_SLOTS = 6
"""That wait: one with PyTorch takes 200 MB."""


@runtime_checkable
class Forking(Engine, Protocol):
    """An engine that can keep slots."""

    def slot(self, kind: Kind, limits: Limits) -> Slot:
        """Start a slot. Raises OurFault."""


class Pool:
    """Slots of one engine; the one used longest ago makes room. Not for two threads."""

    def __init__(self, engine: str, *, isolated: bool, isolation: Isolation) -> None:
        """Start nothing yet; `engine` is a name of `grader.engine.NAMES`. `isolation`: what the deployment asks for."""
        self._asked, self._isolated, self._isolation = engine, isolated, isolation
        self._engine: Engine | None = None
        self._idle: list[Slot] = []

    def start(self, exercise: Exercise, *, suite: str = "hidden") -> judge.JudgeProcess:
        """Start judging, as `judge.start`; where forks will do, in those of a slot that comes back at the end."""
        judge.warm(exercise.kind)
        judge.collect(exercise, suite)
        if "container" in (self._isolation, exercise.isolation):
            return judge.start(exercise, suite=suite, engine=self._asked, isolated=self._isolated)
        if self._engine is None:  # whoever waits for `started` is told what must be told
            self._engine = choose(self._asked, exercise.kind, lambda _: None, isolated=self._isolated)
        if not isinstance(self._engine, Forking):
            return judge.start(exercise, suite=suite, engine=self._asked, isolated=self._isolated)
        wanted = _TIMED_SLOTS if exercise.is_timed(suite) else 1
        lent = [self._take(self._engine, exercise).lend() for _ in range(wanted)]
        slots = Slots(self._engine.name, lent, strict=self._engine.strict)
        return judge.start(exercise, suite=suite, engine=slots, at_end=lambda: self._put_back(lent))

    def close(self) -> None:
        """End all slots."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, engine: Forking, exercise: Exercise) -> Slot:
        for slot in reversed(self._idle):
            if slot.fits(exercise.kind, exercise.limits):
                self._idle.remove(slot)
                if slot.usable():
                    return slot
                slot.close()
        if len(self._idle) >= _MOST_SLOTS:
            self._idle.pop(0).close()
        return engine.slot(exercise.kind, exercise.limits)

    def _put_back(self, lent: list[Slot]) -> None:
        """Keep slots for the next, or close them: at once where something is amiss."""
        for slot in lent:
            if slot.usable() and slot.judgings < MOST_JUDGINGS:
                self._idle.append(slot)
            else:
                slot.close()
