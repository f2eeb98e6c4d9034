"""Exercises without their speed limits, for benchmarks of what all others cost."""

import ast
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tests_of(file: Path) -> list[ast.FunctionDef]:
    """Return the tests in a file."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return [each for each in body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")]


def is_timed(test: ast.FunctionDef) -> bool:
    """Tell whether a test has the fixture `speed`."""
    return "speed" in {each.arg for each in test.args.args}


def write(name: str, folder: Path) -> str:
    """Copy an exercise of ours below a folder, less its tests that time and what only they reject; returns its name."""
    copy = f"{name}-untimed"
    exercise = shutil.copytree(ROOT / "exercises" / name, folder / "exercises" / copy)
    (folder / "reference").mkdir(exist_ok=True)
    reference = f"{name.replace('-', '_')}.py"
    shutil.copy(ROOT / "reference" / reference, folder / "reference" / f"{copy.replace('-', '_')}.py")
    hidden = exercise / "hidden_tests.py"
    lines = hidden.read_text(encoding="utf-8").splitlines(keepends=True)
    for test in reversed(tests_of(hidden)):
        if is_timed(test):
            first = min([test.lineno, *(each.lineno for each in test.decorator_list)])
            del lines[first - 1 : test.end_lineno]
            for wrong in (exercise / "wrong").glob("*.py"):
                if f"Caught by {test.name}." in wrong.read_text(encoding="utf-8"):
                    wrong.unlink()
    hidden.write_text("".join(lines), encoding="utf-8")
    return copy
