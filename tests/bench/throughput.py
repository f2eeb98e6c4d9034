"""How many judgings a second a service does: `python -m tests.bench.throughput`, three minutes, two cores, root.

PostgreSQL, Redis and `grader worker` with a process for each core are started as an operator starts them, the worker
with `GRADER_ISOLATION` as `fork` and as `container`. Exercises are softmax (NumPy) and attention (PyTorch) without
their speed limits, which take seconds on purpose; submissions are right answers.

    verdict      one at a time, nothing else waiting: from the claim to the report's being stored
    per second   as many waiting as keep it busy for some seconds: judgings over the time from the first claim until the
                 last report is stored
    machine CPU  seconds that all cores were busy, for one of those: database, broker and all else that runs
    worker CPU   of these, the worker's and its sandboxes'

Every round (`--rounds`) measures all of them, with workers of its own; shown are the median and the quartiles. A target
that is not met makes the exit status 1. `--json` prints every figure instead.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from grader.engine import Kind
from grader.exercise import Isolation
from tests.bench import untimed
from tests.bench.warm import EXERCISES, TARGETS, Key, busy, report
from tests.store import cluster as databases
from tests.worker import broker as brokers
from tests.worker.service_processes import Service, below

ISOLATIONS: tuple[Isolation, ...] = ("container", "fork")
ALONE = 8
_TICKS = os.sysconf("SC_CLK_TCK")
UNITS = {"verdict": "ms", "per second": "", "machine CPU": "s", "worker CPU": "s"}


def main() -> int:
    """Measure and print; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Measure what a service judges.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="for so long a worker on target is kept busy")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    samples: dict[Key, list[float]] = defaultdict(list)
    with databases.start() as cluster, brokers.start() as broker, tempfile.TemporaryDirectory() as folder:
        names = {kind: untimed.write(exercise, Path(folder)) for kind, exercise in EXERCISES.items()}
        service = Service(cluster.url(cluster.create()), broker, Path(folder))
        try:
            for number in range(options.rounds):
                sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
                for isolation in ISOLATIONS:
                    for key, figure in measure(service, names, isolation, options.seconds):
                        samples[key].append(figure)
        finally:
            service.stop()
    if options.json:
        sys.stdout.write(json.dumps({" ".join(key): figures for key, figures in samples.items()}, indent=1) + "\n")
    missed = [key for key in samples if not report(key, samples[key], UNITS[key[0]], quiet=options.json)]
    return bool(missed)


def measure(
    service: Service, names: dict[Kind, str], isolation: Isolation, seconds: float
) -> Iterator[tuple[Key, float]]:
    """Start a worker, yield one figure of everything, and end it."""
    cores = len(os.sched_getaffinity(0))
    worker = service.worker(cores, GRADER_ISOLATION=isolation)
    try:
        for kind, name in names.items():
            judged(service, name, 2 * cores)  # each process has its libraries and its slot then
            alone = [spans(service, judged(service, name, 1))[0] for _ in range(ALONE)]
            yield ("verdict", kind, isolation), 1000 * statistics.median(alone)
            number = max(2 * cores, round(seconds * TARGETS["per second", kind, isolation]))
            machine, tree = busy(), spent(worker.pid)
            judgings = judged(service, name, number)
            machine, tree = busy() - machine, spent(worker.pid) - tree
            yield ("per second", kind, isolation), number / together(service, judgings)
            yield ("machine CPU", kind, isolation), machine / number
            yield ("worker CPU", kind, isolation), tree / number
    finally:
        worker.terminate()
        worker.wait()


def judged(service: Service, name: str, number: int) -> list[str]:
    """Have so many submissions of an exercise wait, ring for all of them and see them through; returns the judgings."""
    source = (untimed.ROOT / "reference" / f"{name.removesuffix('-untimed')}.py").read_bytes()
    judgings = [service.add(source, exercise=name, ring=False) for _ in range(number)]
    service.queue.send("cpu", number)
    verdicts = set(service.done(*judgings))
    if verdicts != {"accepted"}:
        raise RuntimeError(f"{name}: {verdicts}\n{service.log()}")
    return judgings


def spans(service: Service, judgings: list[str]) -> list[float]:
    """Return of each judging the seconds from its claim until its report was stored."""
    phases = [service.store.progress(each).phases for each in judgings]
    return [(each["stored"] - each["claimed"]).total_seconds() for each in phases]


def together(service: Service, judgings: list[str]) -> float:
    """Return the seconds from the first claim until the last report was stored."""
    phases = [service.store.progress(each).phases for each in judgings]
    return (max(each["stored"] for each in phases) - min(each["claimed"] for each in phases)).total_seconds()


def spent(pid: int) -> float:
    """Return the seconds of CPU of a process and those below it, with those that have ended and were waited for."""
    ticks = 0
    for each in [pid, *below(pid)]:
        try:
            after_name = Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, after_name[11:15]))
    return ticks / _TICKS


if __name__ == "__main__":
    sys.exit(main())
