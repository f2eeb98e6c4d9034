"""Open one sandbox and take the time of each part: `parts.py ENGINE KIND`.

Prints, as JSON, milliseconds from one step to the next (`check`: find the engine, load what it needs, see that it
works; `start`; `ready`: the libraries inside are imported and hello is answered; `close`), and of the transport
`round trip` in milliseconds and `transport` in MB/s, counted there and back.
"""

import itertools
import json
import statistics
import sys
import time
from typing import Any, cast

import numpy as np

from grader.engine import Kind, engine
from grader.exercise import Limits
from grader.local import adopt_orphans
from grader.sandbox import Sandbox

_CALLS = 200
_LARGE_CALLS = 3
_MIB = 32


def main(name: str, kind: Kind) -> None:
    """Open, ask and close a sandbox."""
    limits = Limits(memory_mib=2048)
    adopt_orphans()  # as the judge's child does
    moments = [time.monotonic()]
    found = engine(name)
    found.check(kind)
    moments.append(time.monotonic())
    process = found.start(kind, limits)
    moments.append(time.monotonic())
    sandbox = Sandbox(process, kind, limits)
    sandbox.ready()
    moments.append(time.monotonic())
    large = np.ones(_MIB << 17)
    small_seconds = [echo(sandbox, large[:1]) for _ in range(_CALLS)]
    large_seconds = [echo(sandbox, large) for _ in range(_LARGE_CALLS)]
    closing = time.monotonic()
    sandbox.close()
    steps = [*itertools.pairwise(moments), (closing, time.monotonic())]
    seconds = [after - before for before, after in steps]
    figures = dict(zip(("check", "start", "ready", "close"), (1e3 * each for each in seconds), strict=True))
    figures["round trip"] = 1e3 * statistics.median(small_seconds)
    figures["transport"] = 2 * large.nbytes / 1e6 / statistics.median(large_seconds)
    json.dump(figures, sys.stdout)


def echo(sandbox: Sandbox, array: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    """Send an array (float64, one axis) there and back; returns the seconds it took."""
    began = time.monotonic()
    value: Any = sandbox.call({"op": "echo"}, began + 30.0, value=array)
    seconds = time.monotonic() - began
    if not np.array_equal(value, array):
        raise ValueError("the array came back changed")
    return seconds


if __name__ == "__main__":
    main(sys.argv[1], cast("Kind", sys.argv[2]))
