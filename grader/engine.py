"""What an engine must offer: it starts a process that runs the harness, isolated in its own way.

Engines are found by the entry points of the group `grader.engines`: `local` (grader/local.py, no isolation), `docker`
and `bubblewrap` (worker/). This module and the engines import neither NumPy nor the wire, so that a sandbox can be
starting before those are loaded.
"""

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from grader.errors import OurFault, UsageError
from grader.exercise import Limits

Kind = Literal["numpy", "torch"]
KINDS: tuple[Kind, ...] = ("numpy", "torch")
ISOLATING = ("docker", "bubblewrap")
NAMES = ("auto", *ISOLATING, "local")
LONGEST_WAIT = 600.0
"""Seconds for which a sandbox that was started ahead waits to be used; then it ends."""
MODULES: dict[Kind, list[str]] = {
    "numpy": ["numpy"],
    "torch": [
        "numpy", "torch", "torchgen", "functorch", "sympy", "mpmath", "networkx", "typing_extensions", "filelock",
        "fsspec", "jinja2", "markupsafe", "yaml", "triton", "packaging", "setuptools", "optree",
    ],
}  # fmt: skip
"""What an exercise of each kind offers, with what its libraries need themselves."""


@dataclass(frozen=True)
class Ended:
    """How a sandbox's process ended, and what it used. `number` is the exit status or the signal.

    `memory`: the kernel killed it at its memory limit, by the kernel's own counter. `lost`: something outside the
    sandbox ended it, so nothing follows for the submission.
    """

    cause: Literal["exit", "signal", "memory", "killed", "lost"]
    number: int
    cpu_seconds: float
    peak_memory_mib: float


class Process(Protocol):
    """A started harness. The descriptors are the judge's ends, to wait on: requests out, answers in, prints in."""

    requests: int
    answers: int
    prints: int
    confinement: dict[str, str]
    """What the report's environment says of the sandbox: `image` (digest), `limits` ("cgroup v1", "rlimits"...)."""

    def settle(self) -> None:
        """Change to faster descriptors, if there are any: called once, when the harness has answered hello."""

    def read_answers(self, into: memoryview) -> int:
        """Read what is there, at least a byte; 0 at the end. Raises BlockingIOError where nothing is there."""

    def read_prints(self) -> bytes:
        """Read what was printed; nothing at the end. Raises BlockingIOError where nothing is there."""

    def ended(self) -> bool:
        """Tell whether the process has ended by itself."""

    def waited_seconds(self) -> float:
        """Return for how long the harness was ready to run and another had its core; 0 where that is unknown."""

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, by the kernel's accounting; NaN where it cannot be known finely."""

    def spent(self) -> tuple[float, float] | None:
        """Return processor seconds and the most MiB used so far; None where only `kill` can tell."""

    def is_current(self) -> bool:
        """Tell whether a sandbox that is started now would hold the same: a new image may have been built since."""

    def kill(self) -> Ended:
        """End every process in the sandbox, release what it held, say how it ended. Safe to call twice."""


class Pipes:
    """What is alike in each `Process` whose descriptors are pipes and whose files are this installation's."""

    answers: int
    prints: int

    def settle(self) -> None:
        """Stay with the pipes."""

    def read_answers(self, into: memoryview) -> int:
        """Read what is there; 0 at the end. Raises BlockingIOError."""
        return os.readv(self.answers, [into])

    def read_prints(self) -> bytes:
        """Read what was printed; nothing at the end. Raises BlockingIOError."""
        return os.read(self.prints, 1 << 16)

    def spent(self) -> tuple[float, float] | None:
        """Know nothing before the end."""
        return None

    def is_current(self) -> bool:
        """Say yes: what is installed changes with the judge's own process."""
        return True


@dataclass(frozen=True)
class Finding:
    """One thing an engine needs of the machine: there or not, what was seen, and the command that mends it."""

    what: str
    ok: bool
    seen: str
    remedy: str = ""


class Engine(Protocol):
    """Starts sandboxes of one kind; `name` goes into the report's environment."""

    name: str
    waits: bool
    """Whether `start` mostly waits, for a daemon, and forks nothing: the judge imports in a thread meanwhile."""
    strict: bool
    """Whether a sandbox without limits on it as a whole is refused."""

    def start(self, kind: Kind, limits: Limits) -> Process:
        """Start a harness process that offers the libraries of `kind` under `limits`. Raises OurFault."""

    def preload(self, kind: Kind) -> None:
        """Import and work out what `start` needs, so that processes which are forked from here have it."""

    def check(self, kind: Kind) -> None:
        """Raise OurFault where this machine cannot start a sandbox of `kind`: quick, and leaves nothing behind."""

    def examine(self) -> list[Finding]:
        """List what this engine needs of the machine, for `grader doctor`."""


def engine(name: str) -> Engine:
    """Return the engine called `name`; `auto` is resolved by `choose`."""
    for point in importlib.metadata.entry_points(group="grader.engines", name=name):
        load: Callable[[], Engine] = point.load()
        return load()
    raise UsageError("E2113", f"there is no engine called {name!r}", hint=f"one of {', '.join(NAMES)}")


def choose(name: str, kind: Kind, warn: Callable[[str], None], *, isolated: bool = False) -> Engine:
    """Return the engine to judge with: the one named, or for `auto` the first that works of docker, bubblewrap, local.

    The one named is not checked: whether it works shows when it starts a sandbox. `auto` falls back to `local` with a
    warning, unless only an `isolated` one will do: then it raises OurFault.
    """
    if name not in ("", "auto"):
        found = engine(name)
        if isolated and name not in ISOLATING:
            raise UsageError(
                "E2114", f"engine {name} does not isolate, and is refused here", hint=f"use {ISOLATING[0]}"
            )
        found.strict = isolated
        return found
    reasons = []
    for each in ISOLATING:
        try:
            found = engine(each)
            found.strict = isolated
            found.check(kind)
        except (OurFault, UsageError) as error:
            reasons.append(f"{each}: {error.what}")
        else:
            return found
    if isolated:
        raise OurFault("E2114", "no engine that isolates works here", cause="; ".join(reasons), hint="grader doctor")
    warn("engine local: it does NOT isolate, so judge only code you would run anyway")
    warn(f"  ({'; '.join(reasons)}; see grader doctor)")
    return engine("local")
