"""What a judging costs where one process judges again and again: `python -m tests.bench.warm`, ten minutes, two cores.

    start        a sandbox from nothing: from the engine's start until the libraries are imported
    ready        the sandbox of a judging: that of a standby, told its limits; a fork of a slot, from the order for it
    verdict      a reference judged from the claim to the report, by a pool that is warm; no speed limits
    per second   such judgings one after the other, in as many processes as there are cores, each with its pool
    CPU          seconds that all the machine was busy, for one of those: mind what else it does

Each in `container`s of bubblewrap and of Docker, from standbys, and in `fork`s of a slot of bubblewrap. Every round
(`--rounds`) measures all of them in the same order, so that a load on the machine falls on all alike; shown are the
median and the quartiles. The baseline of the same rounds is a bare `python -c "import numpy"` (or torch). A target that
is not met makes the exit status 1. `--json` prints every figure instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from grader import exercise as exercises
from grader import judge
from grader.engine import Kind, Process, engine
from grader.exercise import Exercise, Isolation, Limits, Policy
from grader.pool import Pool
from grader.sandbox import Sandbox
from grader.slot import Slot
from grader.verdict import Verdict
from worker.bubblewrap import BubblewrapEngine

EXERCISES: dict[Kind, str] = {"numpy": "softmax", "torch": "attention"}
PLACES: dict[str, tuple[str, Isolation]] = {
    "docker": ("docker", "container"),
    "container": ("bubblewrap", "container"),
    "fork": ("bubblewrap", "fork"),
}
TARGETS = {
    ("ready", "torch", "fork"): 15.0,
    ("verdict", "numpy", "docker"): 150.0,
    ("verdict", "numpy", "container"): 150.0,
    ("verdict", "numpy", "fork"): 100.0,
    ("verdict", "torch", "docker"): 200.0,
    ("verdict", "torch", "container"): 200.0,
    ("verdict", "torch", "fork"): 150.0,
    ("per second", "numpy", "docker"): 4.0,
    ("per second", "numpy", "container"): 4.0,
    ("per second", "numpy", "fork"): 15.0,
    ("per second", "torch", "docker"): 1.5,
    ("per second", "torch", "container"): 1.5,
    ("per second", "torch", "fork"): 10.0,
}
"""Issue 5's: milliseconds at most, judgings a second at least."""
ROWS = {"import": "ms", "start": "ms", "ready": "ms", "verdict": "ms", "per second": "", "CPU": "s"}
BATCH = 6
"""Judgings of each process for a figure of throughput."""
Key = tuple[str, str, str]


def main() -> int:
    """Measure and print; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Measure judging by a process that goes on.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples: dict[Key, list[float]] = defaultdict(list)
    for kind in EXERCISES:
        judge.warm(kind)
    pools = {where: make(where) for where in PLACES}
    slots = {kind: BubblewrapEngine().slot(kind, Limits()) for kind in EXERCISES}
    try:
        for number in range(-1, options.rounds):  # the first warms up
            sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
            for key, figure in measure(pools, slots):
                samples[key] += [figure] * (number >= 0)
    finally:
        for pool in pools.values():
            pool.close()
        for slot in slots.values():
            slot.close()
    if options.json:
        sys.stdout.write(json.dumps({" ".join(key): figures for key, figures in samples.items()}, indent=1) + "\n")
    missed = [key for key in samples if not report(key, samples[key], ROWS[key[0]], quiet=options.json)]
    return bool(missed)


def make(where: str) -> Pool:
    """Make a pool, of one standby: more take turns with the same work where one judging follows the other."""
    name, isolation = PLACES[where]
    return Pool(name, isolated=True, isolation=isolation, standbys=1)


def measure(pools: dict[str, Pool], slots: dict[Kind, Slot]) -> list[tuple[Key, float]]:
    """Return one figure of everything."""
    found: list[tuple[Key, float]] = []
    for kind, name in EXERCISES.items():
        exercise = exercises.load(name)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {kind}"], check=True)
        found.append((("import", kind, "bare Python"), 1000 * (time.perf_counter() - began)))
        for where, pool in pools.items():
            if where == "fork":
                found.append((("ready", kind, where), ready(slots[kind].fork, kind)[1]))
            else:
                started = engine(PLACES[where][0])
                started.check(kind)
                both = ready(lambda started=started, kind=kind: started.start(kind, Limits()), kind)  # type: ignore[misc]
                found += [((row, kind, where), figure) for row, figure in zip(("start", "ready"), both, strict=True)]
            once(pool, exercise)
            pool.settle()
            found.append((("verdict", kind, where), once(pool, exercise)))
            pool.settle()
            rate, cpu = throughput(exercise, where)
            found += [(("per second", kind, where), rate), (("CPU", kind, where), cpu)]
    return found


def ready(start: Callable[[], Process], kind: Kind) -> tuple[float, float]:
    """Return milliseconds until a sandbox has its libraries, and from then (of a fork, in all) until it is ready."""
    began = time.perf_counter()
    sandbox = Sandbox(process := start(), kind, None)
    sandbox.warm()
    warm = time.perf_counter()
    sandbox.assign(Limits(), Policy())
    sandbox.ready()
    done = time.perf_counter()
    sandbox.close()
    forked = process.confinement["isolation"] == "fork"
    return 1000 * (warm - began), 1000 * (done - (began if forked else warm))


def once(pool: Pool, exercise: Exercise) -> float:
    """Judge the reference; returns milliseconds until the report."""
    source = exercise.reference.read_bytes()
    began = time.perf_counter()
    process = pool.start(exercise)
    try:
        report = process.run(source, seed=judge.new_seed(), timed=False)
        milliseconds = 1000 * (time.perf_counter() - began)
    finally:
        process.close()
    assert report.verdict is Verdict.ACCEPTED, report.log
    return milliseconds


def throughput(exercise: Exercise, where: str) -> tuple[float, float]:
    """Return judgings a second on all cores, each process with a pool of its own, and seconds of CPU for one."""
    begin_out, begin_in = os.pipe()
    done_out, done_in = os.pipe()
    cores = len(os.sched_getaffinity(0))
    workers = []
    for _ in range(cores):
        workers.append(os.fork())
        if workers[-1] == 0:
            work(exercise, where, begin_out, done_in)
    os.close(done_in)  # so that we hear the end of workers that fail
    for _ in range(cores):
        assert os.read(done_out, 1)
    before = busy()
    began = time.perf_counter()
    os.write(begin_in, b"." * cores)
    for _ in range(cores):
        assert os.read(done_out, 1)
    seconds, spent = time.perf_counter() - began, busy() - before
    for worker in workers:
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
    for descriptor in (begin_out, begin_in, done_out):
        os.close(descriptor)
    return cores * BATCH / seconds, spent / (cores * BATCH)


def busy() -> float:
    """Return the seconds that the machine's cores have been busy, by the kernel's count."""
    line = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    user, nice, system, _, _, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def work(exercise: Exercise, where: str, begin: int, done: int) -> None:
    """Judge a batch when told, after one that does not count; ends the process."""
    status = 1
    try:
        pool = make(where)
        once(pool, exercise)
        pool.settle()
        os.write(done, b".")
        os.read(begin, 1)
        for _ in range(BATCH):
            once(pool, exercise)
        pool.settle()  # the standby that the first one found is made up for
        os.write(done, b".")
        pool.close()
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def report(key: Key, figures: list[float], unit: str, *, quiet: bool) -> bool:
    """Print a line; tells whether its target is met."""
    row, kind, where = key
    low, median, high = statistics.quantiles(figures, n=4, method="inclusive") if len(figures) > 1 else figures * 3
    target = TARGETS.get(key)
    met = target is None or (median >= target if row == "per second" else median <= target)
    if not quiet:
        wanted = f"target {target:g}{'' if met else '  MISSED'}" if target is not None else ""
        text = f"{row:12} {kind:6} {where:12} {median:9.3g} [{low:.3g} to {high:.3g}] {unit:3} {wanted}"
        sys.stdout.write(text.rstrip() + "\n")
    return met


if __name__ == "__main__":
    sys.exit(main())
