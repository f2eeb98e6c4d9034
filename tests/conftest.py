"""Small exercises in a folder of the test's own, and real judgings that must leave nothing behind."""

import ctypes
import gc
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import grader
from grader import exercise as exercises
from grader import judge, local, suite  # noqa: F401 - the judge's child inherits what is imported here
from grader.exercise import Exercise
from grader.pool import Pool
from grader.report import Report, Speed, Usage
from worker import build

_PR_SET_CHILD_SUBREAPER = 36
_TOGETHER = ("tests/compose/", "tests/test_wheel.py", "tests/worker/test_service.py")

_LIMITS = """
[limits]
import_seconds = 1.0
call_seconds = 0.5
judging_seconds = 4.0
memory_mib = {memory}
answer_mib = 4
printed_mib = 2
"""
_HEAD = """title = "Twice {what}"
track = "Tests"
difficulty = 1
kind = "{kind}"
"""
_VERSIONS = """
[versions]
1 = "First version."
"""
_WRONG = '''"""Three is one too many.

Caught by test_doubles.
"""
{rest}'''

FUNCTION = {
    "exercise.toml": _HEAD.format(what="an array", kind="numpy")
    + _LIMITS.format(memory=96)
    + '\n[[functions]]\nname = "double"\nsignature = "(x, factor=2.0)"\nreturns = "array"\n'
    + _VERSIONS,
    "statement.md": "# Double\n\nReturn `factor * x`.\n",
    "starter.py": 'def double(x, factor=2.0):\n    """Return factor * x."""\n    raise NotImplementedError\n',
    "public_tests.py": '''"""Examples."""
import numpy as np
from grader.checkers import assert_close


def test_example(submission):
    """Doubles 1 and 2."""
    assert_close(submission.double(np.array([1.0, 2.0])), np.array([2.0, 4.0]))
''',
    "hidden_tests.py": '''"""Hidden tests."""
import numpy as np
import pytest
from grader.checkers import assert_close


@pytest.mark.points(2)
@pytest.mark.parametrize("size", [1, 3])
def test_doubles(submission, reference, rng, size):
    """Doubles every element."""
    x = 918273.0 + rng.normal(size=size)
    assert_close(submission.double(x), reference.double(x))


@pytest.mark.points(1)
def test_factor(submission, reference, rng):
    """Uses the factor."""
    x = rng.normal(size=4)
    assert_close(submission.double(x, factor=3.0), reference.double(x, factor=3.0))
''',
    "wrong/three.py": _WRONG.format(rest="\n\ndef double(x, factor=2.0):\n    return 3.0 * x\n"),
    "wrong/no_factor.py": '"""The factor is left out.\n\nCaught by test_factor.\n"""\n\n\n'
    "def double(x, factor=2.0):\n    return 2.0 * x\n",
    "wrong/negative.py": _WRONG.format(rest="\n\ndef double(x, factor=2.0):\n    return -factor * x\n"),
    "reference": '"""f x."""\n\n\ndef double(x, factor=2.0):\n    """Return factor * x."""\n    return factor * x\n',
}

CLASS = {
    **FUNCTION,
    "exercise.toml": _HEAD.format(what="a total", kind="numpy")
    + _LIMITS.format(memory=96)
    + '\n[[classes]]\nname = "Total"\nsignature = "(start)"\nattributes = { total = "array" }\n'
    + '[[classes.methods]]\nname = "add"\nsignature = "(x)"\nreturns = "none"\n'
    + _VERSIONS,
    "starter.py": '''class Total:
    """A running total."""

    def __init__(self, start):
        self.total = start

    def add(self, x):
        """Add x."""
        raise NotImplementedError
''',
    "public_tests.py": '''"""Examples."""
import numpy as np
from grader.checkers import assert_close


def test_example(submission):
    """Adds 2 to 1."""
    total = submission.Total(np.array([1.0]))
    total.add(np.array([2.0]))
    assert_close(total.total, np.array([3.0]))
''',
    "hidden_tests.py": '''"""Hidden tests."""
import numpy as np
import pytest
from grader.checkers import assert_close


@pytest.mark.points(2)
def test_doubles(submission, reference, rng):
    """Adds an array twice."""
    start, x = rng.normal(size=3), 918273.0 + rng.normal(size=3)
    got, want = submission.Total(start), reference.Total(start)
    for _ in range(2):
        got.add(x)
        want.add(x)
        assert_close(got.total, want.total)
''',
    "wrong/three.py": _WRONG.format(
        rest="\n\nclass Total:\n    def __init__(self, start):\n        self.total = start\n\n"
        "    def add(self, x):\n        self.total = self.total + 3 * x\n"
    ),
    "wrong/no_factor.py": _WRONG.format(
        rest="\n\nclass Total:\n    def __init__(self, start):\n        self.total = start\n\n"
        "    def add(self, x):\n        self.total = x\n"
    ),
    "wrong/negative.py": _WRONG.format(
        rest="\n\nclass Total:\n    def __init__(self, start):\n        self.total = start\n\n"
        "    def add(self, x):\n        self.total = self.total - x\n"
    ),
    "reference": '''"""s + x."""


class Total:
    """A running total."""

    def __init__(self, start):
        self.total = start

    def add(self, x):
        """Add x."""
        self.total = self.total + x
''',
}

TORCH = {
    **FUNCTION,
    "exercise.toml": FUNCTION["exercise.toml"]
    .replace('"numpy"', '"torch"')
    .replace('"array"', '"tensor"')
    .replace("memory_mib = 96", "memory_mib = 256")
    .replace("call_seconds = 0.5", "call_seconds = 2.0")
    .replace("import_seconds = 1.0", "import_seconds = 3.0")
    .replace("judging_seconds = 4.0", "judging_seconds = 8.0"),
    "wrong/no_factor.py": FUNCTION["wrong/no_factor.py"].replace("test_factor", "test_doubles"),
    "public_tests.py": '''"""Examples."""
import torch
from grader.checkers import assert_close


def test_example(submission):
    """Doubles 1 and 2."""
    assert_close(submission.double(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 4.0]))
''',
    "hidden_tests.py": '''"""Hidden tests."""
import pytest
import torch
from grader.checkers import assert_autograd, assert_close


@pytest.mark.points(2)
def test_doubles(submission, reference, rng):
    """Doubles every element, and its gradient too."""
    x = torch.from_numpy(918273.0 + rng.normal(size=3))
    assert_autograd(submission.double, reference.double, x, rng=rng)

    assert_close(submission.double(x, factor=3.0), reference.double(x, factor=3.0))
''',
}

KINDS = {"function": FUNCTION, "class": CLASS, "torch": TORCH}
RIGHT = {name: files["reference"].encode() for name, files in KINDS.items()}

MakeExercise = Callable[..., Exercise]
Judged = Callable[..., Report]


def write(root: Path, files: dict[str, str], name: str = "double") -> Path:
    """Write an exercise's files below `root`, with its reference beside it, and return its folder."""
    folder = root / "exercises" / name
    for file, text in files.items():
        path = folder / file if file != "reference" else root / "reference" / f"{name.replace('-', '_')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def timed(*ratios: float) -> list[Speed]:
    """Return what a report says of calls that took so many times the reference's time."""
    return [
        Speed(
            call="double",
            outcome="within",
            pairs=16,
            sizes=[128, 256],
            seconds=[0.001 * ratio, 0.004 * ratio],
            reference_seconds=[0.001, 0.004],
            overhead_seconds=[0.0, 0.0],
            ratio=ratio,
            ratio_interval=(0.9 * ratio, 1.1 * ratio),
            ratio_limit=24.0,
            exponent=2.0,
            exponent_interval=(1.9, 2.1),
        )
        for ratio in ratios
    ]


@pytest.fixture
def make_exercise(tmp_path: Path) -> MakeExercise:
    """Write and load a small exercise: `make_exercise("function" | "class" | "torch", {file: text})`."""

    def make(kind: str = "function", changes: dict[str, str] | None = None, name: str = "double") -> Exercise:
        return exercises.load_folder(write(tmp_path, KINDS[kind] | (changes or {}), name))

    return make


@pytest.fixture
def write_exercise(tmp_path: Path) -> Callable[..., Path]:
    """Write a small exercise without loading it and return its folder; a file whose text is None is left out."""

    def make(kind: str = "function", changes: dict[str, str | None] | None = None, name: str = "double") -> Path:
        files = KINDS[kind] | (changes or {})
        return write(tmp_path, {file: text for file, text in files.items() if text is not None}, name)

    return make


@pytest.fixture
def right() -> dict[str, bytes]:
    """Give a right submission for each kind of small exercise."""
    return RIGHT


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    """Judge for real; whatever the submission did, no process and no folder may be left."""
    folders = tmp_path / "sandboxes"
    folders.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders))
    # Every process that outlives the judge becomes a child of this one, and so cannot hide.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(living_children())

    def run(exercise: Exercise, source: bytes | str, **options: Any) -> Report:
        content = source.encode() if isinstance(source, str) else source
        started = time.monotonic()
        report = judge.judge(exercise, content, **options)
        seconds = time.monotonic() - started
        left = set(living_children()) - before
        assert not left, f"left running: {[Path(f'/proc/{pid}/cmdline').read_text() for pid in left]}"
        assert list(folders.iterdir()) == []
        limits = exercise.limits
        assert seconds < 15.0 + limits.import_seconds + limits.judging_seconds, "the judge hung"
        return report

    return run


@pytest.fixture(scope="module")
def forks() -> Iterator[Pool]:
    """Judge in forks of slots of the engine bubblewrap, which a file's tests share."""
    pool = Pool("bubblewrap", isolated=True, isolation="fork")
    yield pool
    pool.close()


def living_children() -> list[int]:
    """List the processes below this one that have not ended."""
    return [pid for pid in local._descendants(os.getpid(), set()) if state(pid) not in ("Z", "")]


def state(pid: int) -> str:
    """Return the letter that Linux has for a process's state, or nothing for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests together that share something dear, by folder or file: xdist's groups fail with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: next(filter(nodeid.startswith, _TOGETHER), nodeid)
    return scheduler


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end: it took an eighth of all the time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest: whoever ran one of them last would keep all others waiting."""
    limits = {item: next((mark.args[0] for mark in item.iter_markers("timeout")), 0) for item in items}
    items.sort(key=lambda item: -limits[item])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close a run of the corpus with its count: judgings that ended as they must, and others."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput"):
        return
    wrong = {each.nodeid for key in ("failed", "error") for each in terminal.stats.get(key, [])}
    every = wrong | {each.nodeid for each in terminal.stats.get("passed", [])}
    attacks = {name for name in every if "test_attacks.py::test_attack[" in name}
    if attacks:
        terminal.write_line(f"attacks: {len(attacks - wrong)} as expected, {len(attacks & wrong)} wrong")


@pytest.fixture
def child():
    """Return a factory: start a real Python process on some code; all are killed at the end."""
    started = []
    environment = os.environ | {"PYTHONPATH": str(Path(grader.__file__).parents[1])}

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def sandbox_images() -> dict[str, str]:
    """Name the image of each kind, built if it is missing; one process builds, the others wait for it."""
    build.build([], "", print)
    return {kind: build.image_name(kind) for kind in build.KINDS}


def without_measures(report: Report, other: Report) -> Report:
    """Return the report without what was measured, which differs from run to run, and with the other's environment."""
    tests = [
        msgspec.structs.replace(each, speed=[], message=re.sub(r"\d[\d,.e+]*", "#", each.message))
        if each.speed or "that the reference needs" in each.message
        else each
        for each in report.tests
    ]
    return msgspec.structs.replace(report, usage=Usage(), environment=other.environment, tests=tests)
