"""The publication gate: what an exercise must prove before anyone is judged by it.

`python -m grader.gate flakes [SEEDS]` judges every reference and every right solution of tests/solutions.
"""

import functools
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader import exercise as exercises
from grader import judge
from grader.engine import engine as load_engine
from grader.exercise import Exercise, Wrong
from grader.fakes import FAKES, GARBAGE, HALF, fake
from grader.formats import timing
from grader.pool import Pool
from grader.report import Report
from grader.verdict import Verdict

SEEDS = 20
_REFERENCE_SEEDS = 200
_SOLUTION_SEEDS = 50
_TIMED = 3
"""Judgings of a reference, or of a right solution, that are timed: inputs change, the time that they take does not."""
_DISTANCE = 1.2
"""By how much a speed limit has to exceed the reference's own ratio."""

Step = Callable[[str], None]


@dataclass
class GateReport:
    """What the gate found; `problems` is empty for an exercise that may be published."""

    exercise: str
    version: str
    seeds: int
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judgings: int = 0
    speed: dict[str, float] = field(default_factory=dict)
    """For each call that is timed, the upper end of the reference's ratio over the limit: the largest of all seeds."""
    largest_honest: float = 0.0
    smallest_wrong: float = float("inf")

    @property
    def passed(self) -> bool:
        """Whether the exercise may be published."""
        return not self.problems

    @property
    def lines(self) -> list[str]:
        """The findings as text, problems last."""
        state = "passed" if self.passed else f"failed: {len(self.problems)} problems"
        margins = (
            f"margins (error / tolerance): honest at most {self.largest_honest:.2g}, "
            f"wrong at least {self.smallest_wrong:.2g}"
        )
        return [
            f"{self.exercise} {self.version}: {state} ({self.judgings} judgings)",
            margins,
            *self.notes,
            *(f"problem: {problem}" for problem in self.problems),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the findings for `--json`."""
        return {
            "schema": "grader/gate/1",
            "exercise": self.exercise,
            "exercise_version": self.version,
            "passed": self.passed,
            "seeds": self.seeds,
            "judgings": self.judgings,
            "largest_honest": self.largest_honest,
            "smallest_wrong": None if self.smallest_wrong == float("inf") else self.smallest_wrong,
            "problems": self.problems,
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Run:
    """One judging the gate asks for."""

    label: str
    source: bytes
    suite: str = "hidden"
    timed: bool = True


@dataclass(frozen=True)
class Judged:
    """One judging the gate had."""

    run: Run
    report: Report
    margins: dict[str, tuple[float, float]]


def judge_all(
    exercise: Exercise, runs: Iterable[Run], engine: str = "local", *, isolated: bool = False
) -> Iterator[Judged]:
    """Judge each of `runs` under a fresh seed; the next judge warms up while one works."""
    preload(exercise, engine)
    pool = Pool(engine, isolated=isolated, isolation="fork", standbys=1)  # the author's own files
    waiting = None
    try:
        for run in [*runs, None]:
            process = pool.start(exercise, suite=run.suite) if run is not None else None
            if waiting is not None:
                yield _run(*waiting)
            waiting = (run, process) if run is not None and process is not None else None
    finally:
        pool.close()


def _run(run: Run, process: judge.JudgeProcess) -> Judged:
    try:
        report = process.run(run.source, seed=judge.new_seed(), timed=run.timed)
        return Judged(run, report, process.margins)
    finally:
        process.close()


def preload(exercise: Exercise, *engines: str) -> None:
    """Import what the judge's children need, once, so that they inherit it."""
    for name in engines:
        if name not in ("", "auto"):
            load_engine(name)
    judge.warm(exercise.kind)


def verify(
    exercise: Exercise,
    *,
    seeds: int = SEEDS,
    engine: str = "local",
    isolated: bool = False,
    on_step: Step = lambda _: None,
) -> GateReport:
    """Put an exercise through the gate.

    The reference is accepted on `seeds` seeds and passes the public examples; starter, fakes and garbage are
    rejected, never as our fault; each wrong file is rejected by the tests it names.
    """
    found = GateReport(exercise.name, exercise.version, seeds)
    reference = exercise.reference.read_bytes()
    starter = exercise.starter.encode()
    runs = [Run("reference", reference, timed=number < _TIMED) for number in range(seeds)]
    runs += [Run("reference, public examples", reference, "public"), Run("starter", starter)]
    runs += [Run("starter, public examples", starter, "public")]
    runs += [Run(name, fake(exercise, name)) for name in (*FAKES, HALF, *GARBAGE)]
    runs += [Run(f"wrong/{wrong.name}.py", wrong.source) for wrong in exercise.wrong]
    by_label = {f"wrong/{wrong.name}.py": wrong for wrong in exercise.wrong}
    unexplained = []
    for number, judged in enumerate(judge_all(exercise, runs, engine, isolated=isolated), 1):
        on_step(f"{number} of {len(runs)}: {judged.run.label}")
        found.judgings += 1
        wrong = by_label.get(judged.run.label)
        _check(found, judged, wrong)
        if wrong is not None and not _explained(judged.report, wrong):
            unexplained.append(wrong.name)
    if len(exercise.wrong) < 3:  # noqa: PLR2004 - two mistakes are not a proof
        found.problems.append(f"only {len(exercise.wrong)} files in wrong/: write at least 3")
    explained = len(exercise.wrong) - len(unexplained)
    found.notes.append(f"wrong files that explain themselves: {explained} of {len(exercise.wrong)}")
    found.notes += [
        f"{name}: the reference uses at most {used:.0%} of its limits" for name, used in found.speed.items()
    ]
    if unexplained:
        found.notes.append(f"failing like another file, or unlike their replay: {', '.join(unexplained)}")
    return found


def _check(found: GateReport, judged: Judged, wrong: Wrong | None) -> None:
    report, label = judged.report, judged.run.label
    if report.verdict is Verdict.INTERNAL_ERROR:
        found.problems.append(f"{label}: internal error (seed {report.seed}): {_last_line(report.log)}")
        return
    honest = label.startswith("reference")
    for largest, smallest in judged.margins.values():
        if honest:
            found.largest_honest = max(found.largest_honest, largest)
        elif wrong is not None:
            found.smallest_wrong = min(found.smallest_wrong, smallest)
    if honest:
        _check_speed(found, judged)
    if honest and report.verdict is not Verdict.ACCEPTED:
        failed = [f"{test.name}: {test.message}" for test in report.tests if test.verdict is not Verdict.ACCEPTED]
        found.problems.append(f"{label}: {report.verdict} (seed {report.seed}): {'; '.join(failed) or report.message}")
    if not honest and report.verdict is Verdict.ACCEPTED:
        found.problems.append(f"{label}: accepted (seed {report.seed})")
    if wrong is not None:
        passed = {test.name for test in report.tests if test.verdict is Verdict.ACCEPTED}
        for name in sorted(passed & set(wrong.caught_by)):
            found.problems.append(f"{label}: {name} does not catch it (seed {report.seed})")


def _check_speed(found: GateReport, judged: Judged) -> None:
    """Refuse a limit that the reference does not hold with a distance: on another machine it might be over."""
    for test in judged.report.tests:
        for speed in test.speed:
            name = f"{test.name}: {speed.call}"
            used = max(
                speed.ratio_interval[1] / speed.ratio_limit,
                speed.exponent_interval[1] / (speed.exponent_limit or math.inf),
            )
            found.speed[name] = max(found.speed.get(name, 0.0), used)
            if speed.outcome != "within" or speed.ratio * _DISTANCE > speed.ratio_limit:
                problem = f"{judged.run.label}: {name}: the reference cannot hold the limit"
                found.problems.append(f"{problem} (seed {judged.report.seed}): {timing(speed)}")


def _explained(report: Report, wrong: Wrong) -> bool:
    return any(test.explanation == wrong.explanation for test in report.tests if test.name in wrong.caught_by)


def _last_line(log: str) -> str:
    lines = log.strip().splitlines()
    return lines[-1] if lines else "no log"


def flakes(solutions: Path, reference_seeds: int, solution_seeds: int, say: Step) -> int:
    """Judge every reference and every right solution on many seeds; return the number of rejections."""
    total = rejected = 0
    for name in exercises.names():
        exercise = exercises.load(name)
        right = {"reference": (exercise.reference.read_bytes(), reference_seeds)}
        for path in sorted((solutions / name).glob("*.py")):
            right[path.stem] = (path.read_bytes(), solution_seeds)
        for label, (source, seeds) in right.items():
            bad = largest = 0.0
            for judged in judge_all(exercise, [Run(label, source, timed=number < _TIMED) for number in range(seeds)]):
                largest = max([largest, *(passed for passed, _ in judged.margins.values())])
                if judged.report.verdict is not Verdict.ACCEPTED:
                    bad += 1
                    failed = [test.name for test in judged.report.tests if test.verdict is not Verdict.ACCEPTED]
                    say(f"  seed {judged.report.seed}: {judged.report.verdict} {failed} {judged.report.log[-300:]}")
            total += seeds
            rejected += int(bad)
            say(f"{name:12} {label:28} {seeds:4} seeds, {int(bad)} rejected, margin at most {largest:.2g}")
    say(f"flakes: {rejected} of {total} judgings of right solutions were rejected")
    return rejected


if __name__ == "__main__":
    scale = int(sys.argv[2]) if len(sys.argv) > 2 else _REFERENCE_SEEDS  # noqa: PLR2004
    root = Path(__file__).parent.parent / "tests" / "solutions"
    say = functools.partial(print, flush=True)
    sys.exit(flakes(root, scale, max(1, scale * _SOLUTION_SEEDS // _REFERENCE_SEEDS), say) != 0)
