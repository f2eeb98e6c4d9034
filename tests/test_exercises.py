"""Every exercise of the repository proves itself: gate, wrong files, public examples, right solutions."""

import ast
import dataclasses
from pathlib import Path

import pytest

from grader import exercise as exercises
from grader import gate, judge
from grader.verdict import Verdict

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.parent.name for path in (ROOT / "exercises").glob("*/exercise.toml"))
FOR_A_GPU = "import triton"
SOLUTIONS = [
    path
    for path in sorted((ROOT / "tests" / "solutions").glob("*/*.py"))
    if FOR_A_GPU not in path.read_text(encoding="utf-8")
]
"""Those with kernels are judged by `make gpu-check`, which no machine without a GPU can stand in for."""


@pytest.fixture(autouse=True)
def own_exercises(monkeypatch):
    """Look at this repository's exercises only."""
    monkeypatch.delenv("GRADER_EXERCISES", raising=False)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_the_exercise_passes_the_gate(name):
    """The reference is accepted on 20 seeds; starter, fakes and garbage are rejected as they must.

    Wrong files are judged by test_engines.py, on two engines, but for those of exercises for CUDA alone.
    """
    exercise, problems = exercises.load(name), []
    if "cpu" in exercise.devices:
        exercise, problems = dataclasses.replace(exercise, wrong=()), ["only 0 files in wrong/: write at least 3"]
    found = gate.verify(exercise.on_processor(), engine="bubblewrap")
    assert found.seeds == 20
    assert found.problems == problems
    assert found.largest_honest < 1


@pytest.mark.parametrize("name", NAMES)
def test_the_exercise_is_complete(name):
    """At least 10 wrong files with sentences of their own, and at least 3 public examples."""
    exercise = exercises.load(name)
    assert len(exercise.wrong) >= 10
    sentences = [wrong.explanation for wrong in exercise.wrong]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith((".", "?", "!")) for sentence in sentences)
    tree = ast.parse(exercise.tests("public").read_text(encoding="utf-8"))
    assert sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree.body) >= 3


def test_every_exercise_has_right_solutions_in_other_styles():
    """tests/solutions has files for every exercise, and for nothing else."""
    assert {path.parent.name for path in SOLUTIONS} == set(NAMES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_right_solution_is_accepted(path, forks):
    """Honest work in any style gets every point, whatever the seed, and on the public examples too."""
    exercise = exercises.load(path.parent.name).on_processor()
    for suite in ("hidden", "hidden", "hidden", "public"):
        process = forks.start(exercise, suite=suite)
        try:
            report = process.run(path.read_bytes(), seed=judge.new_seed())
        finally:
            process.close()
        failed = [(test.name, test.message) for test in report.tests if test.verdict is not Verdict.ACCEPTED]
        assert report.verdict is Verdict.ACCEPTED, (report.seed, report.message, failed, report.log)
        assert report.score == report.max_score
