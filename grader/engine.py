"""What an engine must offer: it starts a process that runs the harness, isolated in its own way.

Engines: `grader/local.py` (no isolation); docker and bubblewrap live in worker/. This module and the engines import
neither NumPy nor the wire, so that a sandbox can be starting before those are loaded.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from grader.errors import UsageError
from grader.exercise import Limits


@dataclass(frozen=True)
class Ended:
    """How a sandbox's process ended, and what it used. `number` is the exit status or the signal."""

    cause: Literal["exit", "signal", "memory", "killed"]
    number: int
    cpu_seconds: float
    peak_memory_mib: float


class Process(Protocol):
    """A started harness. The descriptors are the judge's ends: requests out, answers in, prints in."""

    requests: int
    answers: int
    prints: int

    def ended(self) -> bool:
        """Tell whether the process has ended by itself."""

    def kill(self) -> Ended:
        """End every process in the sandbox, release what it held, say how it ended. Safe to call twice."""


class Engine(Protocol):
    """Starts sandboxes of one kind; `name` goes into the report's environment."""

    name: str

    def start(self, kind: Literal["numpy", "torch"], limits: Limits) -> Process:
        """Start a harness process that offers the libraries of `kind` under `limits`. Raises OurFault."""


def engine(name: str) -> Engine:
    """Return the engine called `name`."""
    if name == "local":
        from grader.local import LocalEngine  # noqa: PLC0415 - an engine is loaded when it is chosen

        return LocalEngine()
    raise UsageError("E2113", f"there is no engine called {name!r}", hint="use `local`")
