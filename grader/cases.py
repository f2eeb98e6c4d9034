"""The cases of an exercise's tests: pytest collects them once in a process, for all the judges that are forked from it.

Cases that take nothing but our fixtures and parametrised values the judge then calls by itself, as pytest would: its
own protocol takes longer than most tests. A file with fixtures, marks, classes or hooks of its own is left to pytest,
and so is one that cannot be collected, which the judge's child then reports.
"""

import ast
import contextlib
import functools
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from grader.exercise import Exercise, points

FIXTURES = frozenset({"submission", "reference", "rng", "speed"})
_MARKS = {"points", "parametrize"}
_MOST_SUITES = 32
_UNUSED = [
    "cacheprovider",
    "terminal",
    "faulthandler",
    "junitxml",
    "logging",
    "setuponly",
    "setupplan",
    "threadexception",
    "legacypath",
    "unittest",
    "debugging",
    "capture",
    "pastebin",
    "doctest",
    "stepwise",
    "unraisableexception",
]


@dataclass(frozen=True)
class Case:
    """One case of a test function. `name` is pytest's, by which random numbers are drawn."""

    name: str
    test: str
    function: Callable[..., object]
    fixtures: tuple[str, ...]
    params: dict[str, Any]


@dataclass(frozen=True)
class Cases:
    """All cases of a file, in its order."""

    module: ModuleType
    cases: tuple[Case, ...]

    def __iter__(self) -> Iterator[Case]:
        """Go through the cases."""
        return iter(self.cases)


def collect(exercise: Exercise, suite: str) -> Cases | None:
    """Return the cases of a suite; None where pytest has to run them."""
    return _collect(exercise.tests(suite), exercise.version)


@functools.lru_cache(_MOST_SUITES)
def _collect(path: Path, _version: str) -> Cases | None:
    collector = _Collector()
    with _not_swallowed(), contextlib.suppress(SystemExit):  # a file that exits while it is imported
        run_pytest(path, collector)
    module = sys.modules.pop(path.stem, None)  # files of other exercises have that name too
    plain = collector.items and not collector.failed and all(map(_is_plain, collector.items))
    if module is None or not plain or any(name.startswith("pytest_") for name in vars(module)):
        return None
    return Cases(module, tuple(map(_case, collector.items)))


@contextlib.contextmanager
def _not_swallowed() -> Iterator[None]:
    """Call the handlers of signals that came meanwhile once more: pytest swallows what they raise, as Ctrl-C does."""
    heard: list[tuple[int, FrameType | None]] = []
    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append((number, frame))
        handlers[number](number, frame)

    if threading.current_thread() is not threading.main_thread():  # no handler runs in any other
        handlers.clear()
    try:
        for number in handlers:
            signal.signal(number, hear)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number, frame in heard:
        handlers[number](number, frame)


def tests(exercise: Exercise, suite: str) -> tuple[tuple[str, str, float], ...]:
    """Return the name, the title and the points (1 without a mark) of each test function of a suite."""
    return _tests(exercise.tests(suite), exercise.version)


@functools.lru_cache(_MOST_SUITES)
def _tests(path: Path, _version: str) -> tuple[tuple[str, str, float], ...]:
    found = []
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            title = (ast.get_docstring(node) or node.name).strip().split("\n", 1)[0]
            worth = [value for value in map(points, node.decorator_list) if value is not None]
            found.append((node.name, title, worth[0] if worth else 1.0))
    return tuple(found)


def run_pytest(path: Path, plugin: object) -> None:
    """Run pytest on one file, with no plugin but its own and `plugin`; its exit code says nothing."""
    folder = str(path.parent)  # without `--confcutdir` pytest makes a node of each folder beside each parent of it
    arguments = [str(path), "-c", os.devnull, "--rootdir", folder, "--confcutdir", folder]
    arguments += ["--noconftest", "--assert=plain", "--import-mode=importlib", "--strict-markers", "-W", "ignore"]
    for unused in _UNUSED:
        arguments += ["-p", f"no:{unused}"]
    names = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    before, wrote_bytecode = {name: os.environ.pop(name, None) for name in names}, sys.dont_write_bytecode
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = True
    try:
        pytest.main(arguments, plugins=[plugin])
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update({name: value for name, value in before.items() if value is not None})
        sys.dont_write_bytecode = wrote_bytecode


def declare_marks(config: pytest.Config) -> None:
    """Declare our one mark."""
    config.addinivalue_line("markers", "points(n): what passing every case of the test is worth")


class _Collector:
    """A pytest plugin that keeps what is collected, and runs nothing."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.items: list[pytest.Item] = []
        self.failed = False

    def pytest_configure(self, config: pytest.Config) -> None:
        """Declare our mark."""
        declare_marks(config)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of a file that cannot be collected, or skips itself."""
        self.failed |= not report.passed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the items."""
        self.items = list(session.items)

    def pytest_runtestloop(self) -> bool:
        """Run nothing."""
        return True


def _is_plain(item: pytest.Item) -> bool:
    """Tell whether pytest would do no more for a case than to call it with our fixtures and its parameters."""
    if not isinstance(item, pytest.Function) or item.cls is not None:
        return False
    special = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_special(item.obj) for is_special in special):
        return False
    marks = list(item.iter_markers())
    if any(mark.name not in _MARKS or "indirect" in mark.kwargs for mark in marks):
        return False
    ours = set(item.fixturenames) - set(_params(item))
    defined = item._fixtureinfo.name2fixturedefs  # noqa: SLF001 - a fixture of the file's own may have the name of ours
    return ours <= FIXTURES and not ours & set(defined)


def _case(item: Any) -> Case:
    params = _params(item)
    fixtures = tuple(name for name in item.fixturenames if name not in params)
    return Case(item.name, item.originalname, item.obj, fixtures, params)


def _params(item: Any) -> dict[str, Any]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}
