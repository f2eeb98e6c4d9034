"""A slot: a sandbox's process that has the libraries imported and forks a sandbox for each judging.

An engine starts the process (it runs grader/zygote.py) and says how its use is measured; the rest is here. A slot
belongs to the process that started it; whoever is forked from there may use it, one at a time.
"""

import base64
import contextlib
import functools
import json
import os
import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from grader.engine import Ended, Engine, Finding, Kind, Pipes, Process, engine
from grader.errors import OurFault
from grader.exercise import Limits
from grader.local import waited_seconds

ZYGOTE = Path(__file__).parent / "zygote.py"
HELD = ("memory_mib", "processes", "cores", "scratch_mib", "scratch_files")
_END_SECONDS = 5.0
_MESSAGE_BYTES = 1 << 16
_SIGNALS, _SIGKILL = 128, 9


@dataclass(frozen=True)
class Used:
    """What a fork has used by the kernel's counters; nothing where its slot has no control group."""

    cpu_seconds: float
    peak_memory_mib: float
    oom_kills: int


class Host(Protocol):
    """The process of a slot, as its engine has started it."""

    confinement: dict[str, str]

    def locate(self) -> None:
        """Find its first process; called where it was started, before others are forked from there."""

    def begin(self) -> None:
        """Count from zero from here on."""

    def cpu_seconds(self) -> float:
        """Return all the processor time used so far; NaN where it cannot be known finely."""

    def harness(self) -> int:
        """Return the number of the fork's harness outside; 0 where there is none, or it is out of sight."""

    def used(self) -> Used | None:
        """Return what was used since `begin`."""

    def empty(self) -> bool:
        """Tell whether no process but the slot's own is left."""

    def kill(self) -> Ended:
        """End it, and everything in it."""


@dataclass
class Order:
    """What a zygote is told with every fork."""

    filter: bytes
    hidden: Sequence[str]
    scratch: Sequence[str]


class Slot:
    """A zygote to fork from; `limits` are those that the whole of it is held to."""

    def __init__(self, host: Host, control: socket.socket, order: Order, kind: Kind, limits: Limits) -> None:
        """Have a started zygote import the libraries of `kind`, which goes on meanwhile."""
        self.kind, self.limits = kind, limits
        self.control = control
        self.judgings = 0
        self._host, self._order = host, order
        control.send(json.dumps({"torch": kind == "torch"}).encode())

    def lend(self) -> "Slot":
        """Count a judging; called where the slot was started, before the judge's child is forked."""
        self.judgings += 1
        self._host.locate()
        return self

    def fork(self) -> "Fork":
        """Return a sandbox, which may have to wait for the libraries. Raises OurFault where the slot has ended."""
        self._host.begin()
        order = {
            "filter": base64.b64encode(self._order.filter).decode(),
            "hidden": self._order.hidden,
            "scratch": self._order.scratch,
            "scratch_bytes": self.limits.scratch_mib << 20,
            "scratch_files": self.limits.scratch_files,
        }
        with contextlib.ExitStack() as theirs:
            link, far = socket.socketpair()
            theirs.callback(far.close)
            requests_out, requests_in = os.pipe()
            answers_out, answers_in = os.pipe()
            prints_out, prints_in = os.pipe()
            streams = requests_out, answers_in, prints_in
            for descriptor in streams:
                theirs.callback(os.close, descriptor)
            fork = Fork(self._host, link, requests_in, answers_out, prints_out)
            try:
                socket.send_fds(self.control, [json.dumps(order).encode()], [far.fileno(), *streams])
            except OSError as error:
                fork.hang_up()
                raise _ended() from error
        return fork

    def fits(self, kind: Kind, limits: Limits) -> bool:
        """Tell whether its libraries and what the kernel holds it to are those; seconds are the judge's to count."""
        return self.kind == kind and all(getattr(self.limits, name) == getattr(limits, name) for name in HELD)

    def usable(self) -> bool:
        """Tell whether another may fork from it: it lives, and nothing is left in it."""
        gone = select.select([self.control], [], [], 0)[0]  # a zygote says nothing: what can be read is the end
        return not gone and self._host.empty()

    def close(self) -> None:
        """End it."""
        self.control.close()
        self._host.kill()


class Fork(Pipes):
    """A sandbox forked from a slot."""

    def __init__(self, host: Host, link: socket.socket, requests: int, answers: int, prints: int) -> None:
        """Take our ends."""
        self.requests, self.answers, self.prints = requests, answers, prints
        self.confinement = host.confinement | {"isolation": "fork"}
        self._host, self._link = host, link
        self._harness = 0
        self._result: Ended | None = None

    @property
    def closed(self) -> bool:
        """Whether it was ended, and its slot is free."""
        return self._result is not None

    def ended(self) -> bool:
        """Tell whether the sandbox has ended by itself."""
        return self._result is not None or bool(select.select([self._link], [], [], 0)[0])

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, with what the slot had used before; NaN where it is not known."""
        return self._host.cpu_seconds() if self._result is None else float("nan")

    def waited_seconds(self) -> float:
        """Return how long the harness waited for a core."""
        self._harness = self._harness or self._host.harness()
        return waited_seconds(self._harness) if self._harness else 0.0

    def spent(self) -> tuple[float, float] | None:
        """Return what was used; None where its slot has no control group."""
        used = self._host.used()
        return (used.cpu_seconds, used.peak_memory_mib) if used is not None else None

    def kill(self) -> Ended:
        """Hang up, so that the zygote ends every process inside; say how it ended."""
        if self._result is not None:
            return self._result
        by_itself = self.ended()
        self._link.shutdown(socket.SHUT_WR)
        self._link.settimeout(_END_SECONDS)
        report: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            report = json.loads(self._link.recv(_MESSAGE_BYTES))
        used = self._host.used() or Used(report.get("cpu_seconds", 0.0), report.get("rss_kib", 0) / 1024, 0)
        self._result = _how(report, used, by_itself=by_itself)
        self.hang_up()
        return self._result

    def hang_up(self) -> None:
        """Close our ends; the zygote ends what it had forked."""
        self._link.close()
        for descriptor in (self.requests, self.answers, self.prints):
            os.close(descriptor)


def _how(report: dict[str, Any], used: Used, *, by_itself: bool) -> Ended:
    spent = used.cpu_seconds, used.peak_memory_mib
    code = report.get("exit")
    if by_itself and used.oom_kills and code in (None, _SIGNALS + _SIGKILL):
        return Ended("memory", _SIGKILL, *spent)
    if code is None:
        return Ended("lost", 0, *spent)
    if not by_itself:
        return Ended("killed", 0, *spent)
    if code > _SIGNALS:
        return Ended("signal", code - _SIGNALS, *spent)
    return Ended("exit", code, *spent)


def _ended() -> OurFault:
    return OurFault("E4101", "the sandbox could not be started", cause="the slot has ended", hint="see `grader doctor`")


class Slots:
    """An engine whose sandboxes are forks of the slots given to it; where none is free, it starts others as `name`."""

    waits = False

    def __init__(self, name: str, slots: Sequence[Slot], *, strict: bool) -> None:
        """Fork from each of `slots` one sandbox at a time."""
        self.name, self.strict = name, strict
        self.slots = slots
        self._forks: dict[int, Fork] = {}

    @functools.cached_property
    def _engine(self) -> Engine:
        made = engine(self.name)
        made.strict = self.strict
        return made

    def start(self, kind: Kind, limits: Limits) -> Process:
        """Fork a sandbox, or start one. Raises OurFault."""
        for number, slot in enumerate(self.slots):
            last = self._forks.get(number)
            if (last is None or last.closed) and slot.fits(kind, limits):
                with contextlib.suppress(OurFault):  # it has ended
                    self._forks[number] = slot.fork()
                    return self._forks[number]
        return self._engine.start(kind, limits)

    def preload(self, kind: Kind) -> None:
        """Do what the engine does."""
        self._engine.preload(kind)

    def check(self, kind: Kind) -> None:
        """Do what the engine does."""
        self._engine.check(kind)

    def examine(self) -> list[Finding]:
        """Do what the engine does."""
        return self._engine.examine()
