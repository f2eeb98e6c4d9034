"""What crossing into a sandbox and back costs: `python -m tests.bench.transport`, half a minute on two cores.

Every engine has one sandbox open all the time, and every round (`--rounds`) measures all of them in the same order, so
that a load on the machine falls on all alike. The baselines, in the same rounds, are two bare processes joined by two
pipes: a ping-pong of as many bytes, and a large array's bytes sent one way into memory that is there already.

    echo          three numbers there and back: no student's code. Milliseconds, median and 95th percentile of all
    call          a function of the submission that doubles a small array, likewise
    in, out, both a large float64 array as the argument, as the answer (kept inside, not made), and as both; MB/s,
                  median [quartiles] of the rounds, and the ratio to the bare pipe; `both` counts the bytes twice

A target that is not met makes the exit status 1. `--json` prints every figure instead of the table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from grader.engine import engine
from grader.exercise import Limits
from grader.sandbox import Sandbox

ENGINES = ("local", "bubblewrap", "docker")
LIMITS = Limits(memory_mib=2048, answer_mib=512)
SIZES_MB = (8, 64)
CALLS = 200
"""Small round trips in each round."""
ROUND_TRIP_MS, MB_PER_SECOND = 0.3, 500.0
"""Issue 5's targets: a small call's median at most, a large array's rate at least, on engines that isolate."""
BARE, SMALL_BYTES = "bare pipes", 160
_SECONDS = 60.0
SUBMISSION = """
import numpy as np
kept = {}
def double(x):
    return 2 * x
def keep(x):
    kept[x.nbytes] = x.copy()
def take(x):
    return np.asarray(x).nbytes
def give(size):
    return kept[size]
def same(x):
    return x
"""
PEER = """
import os, sys
size = int(sys.argv[1])
room = memoryview(bytearray(size))
while True:
    left = size
    while left:
        count = os.readv(0, [room[size - left:]])
        if not count:
            sys.exit()
        left -= count
    os.write(1, room[:int(sys.argv[2])])
"""

Samples = dict[str, dict[str, list[float]]]
"""Of each figure and engine: milliseconds of every small round trip, or one rate in MB/s a round."""


class Bare:
    """A process that reads so many bytes from a pipe and answers with some of them."""

    def __init__(self, size: int, answer: int) -> None:
        """Start it; the bytes are there already on both sides."""
        command = [sys.executable, "-I", "-S", "-c", PEER, str(size), str(answer)]
        self._popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._bytes = memoryview(bytes(range(256)) * (size // 256 + 1))[:size]
        self._room = bytearray(answer)

    def exchange(self) -> float:
        """Send and get the answer; returns seconds."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        began = time.perf_counter()
        rest = self._bytes
        while rest:
            rest = rest[os.write(self._popen.stdin.fileno(), rest) :]
        os.readv(self._popen.stdout.fileno(), [self._room])
        return time.perf_counter() - began

    def close(self) -> None:
        """End it."""
        self._popen.communicate()


def main() -> int:
    """Measure and print; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Measure the transport.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples = measure(options.engines, options.rounds)
    if options.json:
        json.dump({"rounds": options.rounds, "samples": samples}, sys.stdout)
        return 0
    sys.stdout.write(table(samples, options.rounds))
    missed = [each for name in options.engines if name != "local" for each in misses(samples, name)]
    sys.stdout.write("\n".join(missed) + "\n" if missed else "all targets met\n")
    return int(bool(missed))


def measure(engines: list[str], rounds: int) -> Samples:
    """Open everything, take every figure `rounds` times, close everything."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    bare = {0: Bare(SMALL_BYTES, SMALL_BYTES), **{size: Bare(size * 10**6, 1) for size in SIZES_MB}}
    arrays = {size: np.arange(size * 10**6 // 8, dtype=np.float64) for size in SIZES_MB}
    sandboxes = {name: start(name, arrays) for name in engines}
    try:
        for number in range(-1, rounds):  # the first one warms, and is not counted
            taken = samples if number >= 0 else defaultdict(lambda: defaultdict(list))
            taken["echo"][BARE] += [1e3 * bare[0].exchange() for _ in range(CALLS)]
            for size in SIZES_MB:
                taken[f"{size} MB"][BARE].append(size / bare[size].exchange())
            for name, sandbox in sandboxes.items():
                taken["echo"][name] += [1e3 * timed(lambda: echo(sandbox, [1.0, 2, 3.5])) for _ in range(CALLS)]  # noqa: B023
                x = np.arange(5.0)
                taken["call"][name] += [1e3 * timed(lambda: call(sandbox, "double", x)) for _ in range(CALLS)]  # noqa: B023
                for size, array in arrays.items():
                    for direction, seconds in crossings(sandbox, array).items():
                        bytes_ = size * (1 + (direction == "both"))
                        taken[f"{size} MB {direction}"][name].append(bytes_ / seconds)
    finally:
        for sandbox in sandboxes.values():
            sandbox.close()
        for peers in bare.values():
            peers.close()
    return samples


def start(name: str, arrays: dict[int, "np.ndarray[Any, Any]"]) -> Sandbox:
    """Open a sandbox with the submission in it, which keeps the arrays that it is to answer with."""
    found = engine(name)
    found.check("numpy")
    sandbox = Sandbox(found.start("numpy", LIMITS), "numpy", LIMITS)
    sandbox.call({"op": "load", "interface": []}, time.monotonic() + _SECONDS, source=SUBMISSION)
    for array in arrays.values():
        call(sandbox, "keep", array)
    return sandbox


def crossings(sandbox: Sandbox, array: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Send an array (float64, one axis) in, out and both ways; returns seconds. Raises ValueError if it changes."""
    call(sandbox, "take", 0.0, first=True)
    answers = []
    seconds = {
        "in": timed(lambda: answers.append(call(sandbox, "take", array))),
        "out": timed(lambda: answers.append(call(sandbox, "give", array.nbytes))),
        "both": timed(lambda: answers.append(call(sandbox, "same", array))),
    }
    if answers[0] != array.nbytes or not all(np.array_equal(each, array) for each in answers[1:]):
        raise ValueError("an array came back changed")
    return seconds


def echo(sandbox: Sandbox, value: object) -> Any:
    """Have a value sent back by the harness itself."""
    return sandbox.call({"op": "echo"}, time.monotonic() + _SECONDS, value=value)


def call(sandbox: Sandbox, function: str, value: object, *, first: bool = False) -> Any:
    """Call a function of the submission; the `first` call of a test forgets the arguments of those before."""
    header = {"op": "call", "target": {"name": function}, "first": first}
    return sandbox.call(header, time.monotonic() + _SECONDS, args=[value], kwargs={})


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def table(samples: Samples, rounds: int) -> str:
    """Return a line for each figure, a column for each engine, the baseline first."""
    names = list(samples["echo"])
    lines = [f"{rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", ""]
    lines.append(f"{'':<12}" + "".join(f"{name:<28}" for name in names).rstrip())
    for figure, taken in samples.items():
        cells = {name: cell(samples, figure, name) for name in taken}
        lines.append(f"{figure:<12}" + "".join(f"{cells.get(name, ''):<28}" for name in names).rstrip())
    return "\n".join(lines) + "\n\n"


def cell(samples: Samples, figure: str, name: str) -> str:
    """Return one figure with its spread, and its ratio to the baseline."""
    taken = samples[figure][name]
    median = statistics.median(taken)
    base = statistics.median(samples["echo" if is_time(figure) else " ".join(figure.split()[:2])][BARE])
    ratio = "" if name == BARE else f" {median / base:.2f}x"
    if is_time(figure):
        return f"{median:.3f} ms, p95 {statistics.quantiles(taken, n=20)[-1]:.3f}{ratio}"
    low, _, high = statistics.quantiles(taken, n=4, method="inclusive") if len(taken) > 1 else taken * 3
    return f"{median:.0f} [{low:.0f}, {high:.0f}]{ratio}"


def is_time(figure: str) -> bool:
    """Tell whether a figure is a time, which should be small, and not a rate."""
    return figure in ("echo", "call")


def misses(samples: Samples, name: str) -> list[str]:
    """List the targets that an engine misses."""
    found = []
    for figure, taken in samples.items():
        if name in taken:
            median = statistics.median(taken[name])
            if is_time(figure) and median > ROUND_TRIP_MS:
                found.append(f"NOT met, {name}: {figure} in {median:.3f} ms, {ROUND_TRIP_MS} wanted")
            if not is_time(figure) and median < MB_PER_SECOND:
                found.append(f"NOT met, {name}: {figure} at {median:.0f} MB/s, {MB_PER_SECOND:.0f} wanted")
    return found


if __name__ == "__main__":
    sys.exit(main())
