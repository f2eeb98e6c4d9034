"""What is kept ready for one process that judges again and again: slots to fork from, and standbys.

A standby is a judge's child whose sandbox has been started and has its libraries, and that waits to be told an
exercise: of its kind, and of its size, which is what the kernel holds the sandbox to. It judges once and is gone; the
next one is forked when its report is there, so that no submission shares the machine with it that need not. As many are
kept of a kind and size as turned out to be wanted: one more after each judging that found none ready, one less for each
that waited in vain.
"""

import contextlib
from pathlib import Path
from typing import Protocol, runtime_checkable

from grader import judge
from grader.config import Config
from grader.engine import Engine, Kind, choose
from grader.exercise import Exercise, Isolation, Limits
from grader.job import Task
from grader.slot import HELD, Slot, Slots

MOST_JUDGINGS = 200
"""After so many a slot is replaced: what nobody has thought of does not pile up."""
_TIMED_SLOTS = 3
"""For the submission, for the reference, and for the submission with little memory."""
_MOST_SLOTS = 6
"""That wait: one with PyTorch takes 200 MB."""
_FREE = 0.25
"""The share of the machine's memory that must be free for a standby to be started."""
_MOST_LEAVING = 2
_Size = tuple[object, ...]


@runtime_checkable
class Forking(Engine, Protocol):
    """An engine that can keep slots."""

    def slot(self, kind: Kind, limits: Limits) -> Slot:
        """Start a slot. Raises OurFault."""


class Pool:
    """Slots and standbys of one engine; what was used longest ago makes room. Not for two threads."""

    def __init__(self, engine: str, *, isolated: bool, isolation: Isolation, standbys: int = Config.standbys) -> None:
        """Start nothing yet; `engine` is a name of `grader.engine.NAMES`. `isolation`: what the deployment asks for.

        No more than so many `standbys` are kept, of all kinds and sizes.
        """
        self._asked, self._isolated, self._isolation = engine, isolated, isolation
        self._engine: Engine | None = None
        self._idle: list[Slot] = []
        self._most = standbys
        self._standbys: list[judge.JudgeProcess] = []
        self._wanted: dict[_Size, int] = {}
        """How many standbys of a size are kept, the one asked for last at the end."""
        self._leaving: list[judge.JudgeProcess] = []
        """Have nothing to do but to end their sandboxes."""

    def start(self, exercise: Exercise, *, suite: str = "hidden") -> judge.JudgeProcess:
        """Start judging, as `judge.start`; where forks will do, in those of a slot that comes back at the end.

        Call it, and close what it gives, while there are no threads: both fork.
        """
        judge.warm(exercise.kind)
        judge.collect(exercise, suite)
        judge.compile_mistakes(exercise)
        task = Task(exercise, suite)
        if self._engine is None:  # whoever waits for `started` is told what must be told
            self._engine = choose(self._asked, exercise.kind, lambda _: None, isolated=self._isolated)
        self._engine.preload(exercise.kind)
        if "container" in (self._isolation, exercise.isolation) or not isinstance(self._engine, Forking):
            return self._start_standby(task)
        wanted = _TIMED_SLOTS if exercise.is_timed(suite) else 1
        lent = [self._take(self._engine, exercise).lend() for _ in range(wanted)]
        slots = Slots(self._engine.name, lent, strict=self._engine.strict)
        return judge.start(exercise, suite=suite, engine=slots, at_end=lambda: self._put_back(lent))

    def settle(self) -> None:
        """Wait until all standbys have their libraries, or have ended."""
        for standby in self._standbys:
            standby.settle()

    def close(self) -> None:
        """End all slots and standbys, and start no more."""
        self._wanted.clear()
        while self._idle:
            self._idle.pop().close()
        while self._standbys:
            self._let_go(self._standbys[0])
        while self._leaving:
            self._leaving.pop().end()

    # --- standbys

    def _start_standby(self, task: Task) -> judge.JudgeProcess:
        """Give a standby the task, or start from nothing."""
        kind, limits = task.exercise.kind, task.exercise.limits
        self._drop_ended()
        size = _size(kind, limits)
        fitting = [each for each in self._standbys if _size(each.kind, each.limits) == size and _lasts(each, limits)]
        fitting.sort(key=judge.JudgeProcess.is_warm)
        process = fitting.pop() if fitting else None
        missed = process is None or not process.is_warm()
        self._wanted[size] = min(self._wanted.pop(size, 0) + missed, self._most)
        if process is None:
            process = self._fork(kind, limits, task)
        else:
            self._standbys.remove(process)
            process.assign(*task)
        return process

    def _drop_ended(self) -> None:
        """Forget what has ended; standbys of the size of one that has waited in vain were not wanted for long."""
        for standby in [each for each in self._standbys if not each.waits()]:
            self._let_go(standby)
            size = _size(standby.kind, standby.limits)
            if size in self._wanted:
                self._wanted[size] -= 1
        self._wanted = {size: wanted for size, wanted in self._wanted.items() if wanted > 0}
        for number, process in enumerate(self._leaving[::-1]):
            if number >= _MOST_LEAVING or not process.waits():
                self._leaving.remove(process)
                process.end()

    def _refill(self, kind: Kind, limits: Limits) -> None:
        """Start what is missing of a size; standbys of the sizes asked for longest ago make room."""
        size, order = _size(kind, limits), list(self._wanted)
        others = [each for each in self._standbys if _size(each.kind, each.limits) != size]
        others.sort(key=lambda each: order.index(found) if (found := _size(each.kind, each.limits)) in order else -1)
        missing = self._wanted.get(size, 0) - (len(self._standbys) - len(others))
        for _ in range(missing if _free() >= _FREE else 0):
            if len(self._standbys) >= self._most:
                self._let_go(others.pop(0))
            self._standbys.append(self._fork(kind, limits))

    def _fork(self, kind: Kind, limits: Limits, task: Task | None = None) -> judge.JudgeProcess:
        return judge.JudgeProcess(kind, limits, self._asked, isolated=self._isolated, task=task, leave=self._leave)

    def _leave(self, process: judge.JudgeProcess) -> None:
        """Let a child that has reported end its sandbox, and fork what is to wait for the next."""
        self._leaving.append(process)
        self._drop_ended()
        with contextlib.suppress(OSError):  # no more processes or memory: then nobody waits
            self._refill(process.kind, process.limits)

    def _let_go(self, standby: judge.JudgeProcess) -> None:
        """Have a standby end, without waiting for that."""
        self._standbys.remove(standby)
        self._leaving.append(standby)
        standby.stop()

    # --- slots

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


def _size(kind: Kind, limits: Limits) -> _Size:
    """Return what a sandbox cannot change any more once it is started."""
    return kind, *(getattr(limits, name) for name in HELD)


def _lasts(standby: judge.JudgeProcess, limits: Limits) -> bool:
    """Tell whether a standby's sandbox was given time enough; the reaper ends what lives longer."""
    given = standby.limits
    return given.import_seconds >= limits.import_seconds and given.judging_seconds >= limits.judging_seconds


def _free() -> float:
    """Return the share of the machine's memory that is free; 1 where the kernel does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        available, total = (int(lines[name].split()[0]) for name in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError):
        return 1.0
    return available / total
