"""Answer a submission that calls a function which a hidden test passed to it, in the judge and within bounds."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from grader import wire
from grader.oracle import plain
from grader.returns import Scalar
from grader.wire import Callback

_MEMORY_BYTES = 512 << 20


def callbacks_in(value: Any) -> list[Callback]:
    """List the callbacks in nested arguments."""
    if isinstance(value, Callback):
        return [value]
    if isinstance(value, (list, tuple)):
        return [callback for part in value for callback in callbacks_in(part)]
    return [callback for part in value.values() for callback in callbacks_in(part)] if isinstance(value, dict) else []


def answer_callback(callbacks: dict[int, Callback], number: int, arguments: Any, nonce: str) -> list[memoryview]:
    """Call the function that the submission asks for; what it does wrong with it comes back to it."""
    callback = callbacks.get(number)
    if callback is None or not isinstance(arguments, list):
        return wire.encode({"op": "raise", "nonce": nonce})
    callback.calls += 1
    try:
        with np.errstate(all="ignore"), _little_memory():
            value = callback.function(*[_unboxed(argument) for argument in arguments])
        return wire.encode({"op": "answer", "nonce": nonce}, value=plain(value))
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError):
        return wire.encode({"op": "raise", "nonce": nonce})


@contextmanager
def _little_memory() -> Iterator[None]:
    """Let this process take only so much more memory: a small argument of a strange shape can make a huge product."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [limit for limit in (used + _MEMORY_BYTES, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _unboxed(value: Any) -> Any:
    """Give NumPy scalars that came over the wire their own type back."""
    if isinstance(value, Scalar):
        return value.array[()]
    if isinstance(value, list | tuple):
        return type(value)(_unboxed(part) for part in value)
    if isinstance(value, dict):
        return {key: _unboxed(part) for key, part in value.items()}
    return value
