"""The publication gate finds faults that were planted, and lets a good exercise through."""

import ast
import json
import re

import pytest

from grader import exercise as exercises
from grader import gate
from grader.fakes import FAKES, GARBAGE, HALF, fake

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@pytest.fixture
def briefly(monkeypatch):
    """Judge only a few kinds of garbage where the fault lies elsewhere; the first tests judge all."""
    few = {name: GARBAGE[name] for name in ("None", "an empty array", "a friendly object")}
    monkeypatch.setattr(gate, "GARBAGE", few)


@pytest.fixture
def hidden(make_exercise):
    """Give the hidden tests of the small exercise as text."""
    return (make_exercise().folder / "hidden_tests.py").read_text(encoding="utf-8")


def test_a_good_exercise_passes(make_exercise):
    """No problem, a margin on both sides of 1, and every judging counted."""
    exercise = make_exercise()
    steps: list[str] = []
    found = gate.verify(exercise, seeds=3, on_step=steps.append)
    assert found.problems == []
    assert found.passed
    assert found.largest_honest < 1 < found.smallest_wrong
    assert found.judgings == len(steps) == 3 + 3 + len(FAKES) + 1 + len(GARBAGE) + 3
    assert steps[0].startswith(f"1 of {len(steps)}: reference")
    assert found.lines[0] == f"double {exercise.version}: passed ({found.judgings} judgings)"
    told = json.loads(json.dumps(found.to_dict()))
    assert (told["schema"], told["passed"], told["seeds"]) == ("grader/gate/1", True, 3)


def test_a_good_class_exercise_passes(make_exercise):
    """Fakes and garbage reach the attributes of objects too."""
    assert gate.verify(make_exercise("class"), seeds=1).problems == []


# what is planted: (passage of the hidden tests, what it becomes, problem that must be found)
PLANTED = {
    "zeros are accepted": (
        "assert_close(submission.double(x), reference.double(x))",
        "assert submission.double(x).shape == x.shape",
        r"zeros: accepted|zeros",
    ),
    "a test that does arithmetic with garbage": (
        "assert_close(submission.double(x), reference.double(x))",
        "assert_close(submission.double(x)[size - 1 :], reference.double(x)[size - 1 :])",
        "internal error",
    ),
    "a reference that fails now and then": (
        "x = 918273.0 + rng.normal(size=size)",
        "x = 918273.0 + rng.normal(size=size)\n    assert rng.random() < 0.2",
        r"reference: wrong_answer \(seed [0-9a-f]{32}\)",
    ),
    "a test that is skipped": (
        "x = 918273.0 + rng.normal(size=size)",
        "pytest.skip('later')",
        "reference: internal error",
    ),
    "a test that catches nothing": (
        (
            "    x = rng.normal(size=4)\n"
            "    assert_close(submission.double(x, factor=3.0), reference.double(x, factor=3.0))"
        ),
        "    submission.double(rng.normal(size=4), factor=3.0)",
        r"wrong/no_factor.py: test_factor does not catch it",
    ),
    "a tolerance for half precision": (
        "x = 918273.0 + rng.normal(size=size)\n    assert_close(submission.double(x), reference.double(x))",
        (
            "x = rng.normal(size=size)\n    got = submission.double(x)\n"
            "    assert got.shape == x.shape and got.dtype == x.dtype and np.allclose(got, 2 * x, rtol=1e-2)"
        ),
        "half precision: accepted",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(make_exercise, hidden, briefly, name):
    """Tests that accept too much, fail now and then, or choke on garbage do not pass the gate."""
    old, new, problem = PLANTED[name]
    assert old in hidden
    text = hidden.replace(old, new)
    if name in ("zeros are accepted", "a tolerance for half precision"):
        text = text[: text.index("@pytest.mark.points(1)")]
    exercise = make_exercise(changes={"hidden_tests.py": text, **caught_by(text)})
    found = gate.verify(exercise, seeds=3)
    assert not found.passed
    assert any(re.search(problem, line) for line in found.problems), found.problems
    assert found.lines[-1].startswith("problem: ")


def caught_by(text):
    """Let the wrong files name a test that the hidden tests still have."""
    if "test_factor" in text:
        return {}
    return {
        "wrong/no_factor.py": '"""Left out.\n\nCaught by test_doubles.\n"""\n\n\n'
        "def double(x, factor=2.0):\n    return 2.5 * x\n"
    }


def test_a_starter_that_is_right_does_not_pass(make_exercise, right, briefly):
    """The exercise would be solved before it is begun."""
    found = gate.verify(make_exercise(changes={"starter.py": right["function"].decode()}), seeds=1)
    assert any(problem.startswith("starter: accepted") for problem in found.problems)
    assert any(problem.startswith("starter, public examples: accepted") for problem in found.problems)


def test_public_examples_that_the_reference_fails_do_not_pass(make_exercise, briefly):
    """A worked example with a slip in it is found."""
    public = (make_exercise().folder / "public_tests.py").read_text().replace("[2.0, 4.0]", "[2.0, 4.1]")
    found = gate.verify(make_exercise(changes={"public_tests.py": public}), seeds=1)
    assert any(problem.startswith("reference, public examples: wrong_answer") for problem in found.problems)


def test_a_wrong_file_that_is_right_does_not_pass(make_exercise, right, briefly):
    """A file in wrong/ which every test accepts is no mistake, or the tests are too weak."""
    source = '"""It is right.\n\nCaught by test_doubles.\n"""\n\n' + right["function"].decode()
    found = gate.verify(make_exercise(changes={"wrong/right.py": source}), seeds=1)
    problems = "\n".join(found.problems)
    assert "wrong/right.py: accepted" in problems
    assert "wrong/right.py: test_doubles does not catch it" in problems


def test_two_wrong_files_are_too_few(make_exercise, briefly):
    """An exercise proves itself with three mistakes at least."""
    exercise = make_exercise()
    (exercise.folder / "wrong" / "negative.py").unlink()
    found = gate.verify(exercises.load_folder(exercise.folder), seeds=1)
    assert found.problems == ["only 2 files in wrong/: write at least 3"]


@pytest.mark.parametrize("kind", ["function", "class", "torch"])
@pytest.mark.parametrize("name", [*FAKES, HALF, *GARBAGE])
def test_a_fake_is_a_whole_file(make_exercise, kind, name):
    """Each fake parses and wraps what the exercise declares, and nothing else."""
    exercise = make_exercise(kind)
    tree = ast.parse(fake(exercise, name))
    assigned = [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)]
    assert assigned[-1] == ("Total" if kind == "class" else "double")
    assert "RESULT" not in ast.unparse(tree)


def test_flakes_are_counted_and_shown_with_their_seed(make_exercise, hidden, tmp_path, monkeypatch, right):
    """A reference or a right solution that is rejected once is a flake; the seed to replay it is printed."""
    text = hidden.replace("x = rng.normal(size=4)", "x = rng.normal(size=4)\n    assert rng.random() < 0.5")
    exercise = make_exercise(changes={"hidden_tests.py": text})
    monkeypatch.setattr(exercises, "roots", lambda: [exercise.folder.parent])
    solutions = tmp_path / "solutions" / "double"
    solutions.mkdir(parents=True)
    (solutions / "other.py").write_bytes(right["function"])
    said: list[str] = []
    count = gate.flakes(tmp_path / "solutions", 8, 8, said.append)
    assert 0 < count < 16
    assert said[-1] == f"flakes: {count} of 16 judgings of right solutions were rejected"
    assert sum(line.startswith("  seed ") for line in said) == count
    assert any("other" in line for line in said)
