"""How far noise and tricks move a speed verdict: `python -m tests.bench.timing [TIMES]`, ten minutes.

Another process keeps one core busy throughout. One line says how far the charged ratio of one submission is spread over
TIMES judgings (50): the 90th percentile of |ratio / median - 1|. Two lines count the verdicts that flip for submissions
that take a fifth less than the limit, and a fifth more. Then, for each trick of tests/attacks that a file plays with
the clock, what it gains: the share by which its ratio falls below that of the same work without the trick. Exit code 1
where a target is missed: 5 % of spread, no flip, 5 % of gain.
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator
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


def main(times: int = TIMES) -> int:
    """Measure and print; returns 1 where a target is missed."""
    exercise = exercises.load_folder(ATTACKS / "exercises" / "timed")
    missed = False
    with hog():
        ratios = [ratio(report) for report in run(exercise, steps(1.0), times)]
        middle = statistics.median(ratios)
        spread = statistics.quantiles([abs(each / middle - 1) for each in ratios], n=10)[-1]
        say(f"ratio of {times} judgings: median {middle:.3f}, 90th percentile of its deviation {spread:.1%}")
        missed |= spread > TARGET
        for share, wanted in ((0.8, Verdict.ACCEPTED), (1.2, Verdict.TIME_LIMIT_EXCEEDED)):
            reports = list(run(exercise, steps(share * LIMIT), times))
            flips = sum(report.verdict is not wanted for report in reports)
            seen = [ratio(report) for report in reports]
            say(f"at {share:.0%} of the limit: {flips} of {times} flip; ratios {min(seen):.2f} to {max(seen):.2f}")
            missed |= flips > 0
        few = max(5, times // 10)
        honest = statistics.median(ratio(report) for report in run(exercise, steps(6.0), few))
        for trick in TRICKS:
            reports = list(run(exercise, (ATTACKS / f"{trick}.py").read_bytes(), few))
            gain = 1 - statistics.median(map(ratio, reports)) / honest
            verdicts = ", ".join(sorted({str(report.verdict) for report in reports}))
            say(f"{trick:36} gains {gain:7.1%}  ({verdicts})")
            missed |= gain > TARGET or any(report.verdict is Verdict.ACCEPTED for report in reports)
    return int(missed)


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


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
