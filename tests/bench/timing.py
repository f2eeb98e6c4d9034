"""How far noise and tricks move a speed verdict: `python -m tests.bench.timing [TIMES]`, ten minutes.

Another process keeps one core busy throughout. Each figure is of whole judgings, started anew on bubblewrap: `ratio` is
what the report charges, a submission's time over that of the reference's forty steps, and the limit is four times.

    spread     the same submission, forty steps too, judged TIMES times (50): the 90th percentile of
               |ratio / median of the ratios - 1|
    flips      submissions that take a fifth less than the limit, and a fifth more, as often: verdicts that are not
               accepted, and not time_limit_exceeded
    gains      each trick of tests/attacks that a file plays with the clock does the work of 240 steps, a tenth as often
               (5 times at least): the share by which the median of its ratios falls below that of 240 steps without it

A target that is not met, or a trick that is accepted, makes the exit status 1. `--json` prints every ratio instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grader import exercise as exercises
from grader import gate, judge
from grader.exercise import Exercise
from grader.report import Report
from grader.verdict import Verdict

TIMES = 50
ENGINE = "bubblewrap"
LIMIT = 4.0
TARGET = 0.05
ATTACKS = Path(__file__).parent.parent / "attacks"
STEPS = """import numpy as np


def roots(x):
    for _ in range({steps}):
        x = np.sqrt(40 / {steps} + x * x)
    return x
"""
TRICKS = (
    "a61_slow_clocks",
    "a63_work_after_the_answer",
    "a65_cache_by_content",
    "a67_fast_only_once",
    "a72_burns_while_the_reference_runs",
    "a73_threads_for_speed",
    "b66_sleeps_on_small_sizes",
)
"""Each does the work of 240 steps."""


def main() -> int:
    """Measure and print; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Measure how steady speed verdicts are.")
    parser.add_argument("times", nargs="?", type=int, default=TIMES, help="judgings of one submission")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    times, few = options.times, max(5, options.times // 10)
    say = (lambda _: None) if options.json else tell
    say(f"{times} judgings of each, {few} of a trick; one of {os.cpu_count()} cores kept busy; limit {LIMIT:g}")
    exercise = exercises.load_folder(ATTACKS / "exercises" / "timed")
    with hog():
        samples = {"as the reference": list(map(ratio, run(exercise, steps(1.0), times)))}
        missed = [*spread(samples["as the reference"], say)]
        for share, wanted in ((0.8, Verdict.ACCEPTED), (1.2, Verdict.TIME_LIMIT_EXCEEDED)):
            name = f"{share:.0%} of the limit"
            reports = list(run(exercise, steps(share * LIMIT), times))
            samples[name] = list(map(ratio, reports))
            missed += flips(name, reports, wanted, say)
        samples["240 steps"] = list(map(ratio, run(exercise, steps(6.0), few)))
        say(f"{'240 steps':36} ratio {statistics.median(samples['240 steps']):.3f}, which tricks try to lower")
        for trick in TRICKS:
            reports = list(run(exercise, (ATTACKS / f"{trick}.py").read_bytes(), few))
            samples[trick] = list(map(ratio, reports))
            missed += gains(trick, reports, samples["240 steps"], say)
    if options.json:
        tell(json.dumps({"times": times, "ratios": samples, "missed": missed}, indent=1))
    say(f"targets missed: {', '.join(missed)}" if missed else "all targets met")
    return int(bool(missed))


def spread(ratios: list[float], say: Callable[[str], None]) -> list[str]:
    """Print how far ratios of the same work lie apart; returns what misses its target."""
    middle = statistics.median(ratios)
    found = statistics.quantiles([abs(each / middle - 1) for each in ratios], n=10, method="inclusive")[-1]
    say(f"{'spread':36} {found:.1%} at the 90th percentile, of ratios about {middle:.3f}; target {TARGET:.0%}")
    return ["spread"] * (found > TARGET)


def flips(name: str, reports: list[Report], wanted: Verdict, say: Callable[[str], None]) -> list[str]:
    """Print how many verdicts are not the wanted one; returns what misses its target."""
    seen = list(map(ratio, reports))
    count = sum(report.verdict is not wanted for report in reports)
    say(f"{f'flips at {name}':36} {count} of {len(reports)}, ratios {min(seen):.2f} to {max(seen):.2f}; target 0")
    return [name] * (count > 0)


def gains(trick: str, reports: list[Report], honest: list[float], say: Callable[[str], None]) -> list[str]:
    """Print by what share a trick lowers the ratio; returns what misses its target."""
    gain = 1 - statistics.median(map(ratio, reports)) / statistics.median(honest)
    verdicts = ", ".join(sorted({str(report.verdict) for report in reports}))
    say(f"{trick:36} gains {gain:.1%}; target {TARGET:.0%}  ({verdicts})")
    return [trick] * (gain > TARGET or any(report.verdict is Verdict.ACCEPTED for report in reports))


def steps(times: float) -> bytes:
    """Return a submission that takes so many times as long as the reference's forty steps."""
    return STEPS.format(steps=round(40 * times)).encode()


def run(exercise: Exercise, source: bytes, times: int) -> Iterator[Report]:
    """Judge a source so many times."""
    gate.preload(exercise, ENGINE)
    for _ in range(times):
        report = judge.judge(exercise, source, engine=ENGINE)
        if not report.tests or not report.tests[0].speed:
            raise RuntimeError(f"not measured: {report.verdict} {report.message} {report.tests} {report.log}")
        yield report


def ratio(report: Report) -> float:
    """Return the ratio that was charged."""
    return report.tests[0].speed[0].ratio


@contextmanager
def hog() -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
