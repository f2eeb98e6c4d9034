"""From a submitted file to its verdict, here and in other graders: `python -m tests.bench.peers`, three minutes.

The same right answer for softmax is judged by each, one after the other in every round (`--rounds`), so that a load on
the machine falls on all alike:

    otter-grader      `otter run`, its command without a container; tests marked as hidden
    nbgrader          `nbgrader autograde` of a new student's notebook; tests between its marks of hidden ones
    pytest, docker    `docker run` of Python, NumPy and pytest with one test file, without network
    ours, warm        as a worker does: from the claim to the report, in a fork and in a container of bubblewrap
    ours, cold        `grader submit`, the whole command, which starts Python, judges in bubblewrap and stores in SQLite

Peers check what `peers_softmax.py` has: for each hidden test of ours a test of that name, with the same points and as
many inputs. None of them limits speed, so ours does without, but for one line that says what its speed limit adds. No
peer's tests are out of a submission's reach: they run in its process.

Shown are the median and the quartiles, how many times ours, warm in a fork, goes into each (of the ratios of the
rounds), and the seconds that all the machine was busy meanwhile: mind what else it does. Exit code 1 where the quickest
peer's ratio is below 30. Every contender first has to reject a wrong answer. `--json` prints every figure. Peers are
installed at the first run, into environments of their own in the user's cache folder (`XDG_CACHE_HOME`), which takes
some minutes more; what cannot be had is left out, and why is said.
"""

import argparse
import ast
import hashlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import platformdirs

from grader import exercise as exercises
from grader import judge
from grader.exercise import Isolation
from grader.pool import Pool
from grader.verdict import Verdict
from tests.bench import untimed, warm
from tests.bench.untimed import ROOT
from worker import build

TESTS = Path(__file__).with_name("peers_softmax.py")
HIDDEN = ROOT / "exercises/softmax/hidden_tests.py"
RIGHT, WRONG = ROOT / "docs/demo/right.py", ROOT / "docs/demo/wrong.py"
PEERS = {"otter-grader": "7.0.0", "nbgrader": "0.9.6"}
KERNEL = "ipykernel==7.4.0"
OURS, TARGET = "ours, warm fork", 30.0
_LIMIT_SECONDS, _INSTALL_SECONDS = 180, 900


class AbsentError(Exception):
    """A contender that cannot be had here; says why."""


class Contender(Protocol):
    """Who judges a file: `place` puts it where that is taken from, `run` is what is timed."""

    name: str
    facts: str
    """What isolates the submission, and where the tests are."""

    def place(self, source: bytes, turn: str) -> None:
        """Hand in a file; `turn` names it."""

    def run(self, turn: str) -> None:
        """Judge it."""

    def accepted(self, turn: str) -> bool:
        """Tell what the verdict was."""


class Otter:
    """The command line of otter-grader."""

    name = "otter-grader"
    facts = "no isolation; tests in the submission's process"

    def __init__(self, folder: Path) -> None:
        """Install it where it is not, and make the autograder. Raises AbsentError."""
        self._folder, self._bin = folder, installed(self.name)
        (folder / "tests").mkdir(parents=True)
        (folder / "tests/softmax.py").write_text(otter_tests(), encoding="utf-8")
        options = ["--no-config", "--no-requirements", "--no-environment"]
        command = ["otter", "generate", "-t", "tests", "-o", "autograder.zip", *options]
        check(command, folder, path=self._bin)

    def place(self, source: bytes, turn: str) -> None:
        """Write the file."""
        (self._folder / turn).mkdir()
        (self._folder / turn / "softmax.py").write_bytes(source)

    def run(self, turn: str) -> None:
        """Judge it; what it found is written beside it."""
        command = ["otter", "run", "--no-logo", "-a", "autograder.zip", "-o", turn, f"{turn}/softmax.py"]
        check(command, self._folder, path=self._bin)

    def accepted(self, turn: str) -> bool:
        """Read the points."""
        found = json.loads((self._folder / turn / "results.json").read_text(encoding="utf-8"))
        return sum(float(each.get("score", 0)) for each in found["tests"]) == sum(points().values())


class Nbgrader:
    """The command line of nbgrader."""

    name = "nbgrader"
    facts = "no isolation; tests in the submission's process"

    def __init__(self, folder: Path) -> None:
        """Install it where it is not, and make the assignment. Raises AbsentError."""
        self._folder, self._bin = folder, installed(self.name)
        self.place(RIGHT.read_bytes(), "")
        (folder / "nbgrader_config.py").write_text("get_config().CourseDirectory.course_id = 'bench'\n", "utf-8")
        check(["nbgrader", "generate_assignment", "softmax", "--create"], folder, path=self._bin)

    def place(self, source: bytes, turn: str) -> None:
        """Write the notebook of a new student, or with no turn the teacher's."""
        notebook = self._folder / (f"submitted/{turn}" if turn else "source") / "softmax" / "softmax.ipynb"
        notebook.parent.mkdir(parents=True)
        notebook.write_text(json.dumps(assignment(source.decode())), encoding="utf-8")

    def run(self, turn: str) -> None:
        """Judge it."""
        check(["nbgrader", "autograde", "softmax", "--create", "--student", turn], self._folder, path=self._bin)

    def accepted(self, turn: str) -> bool:
        """Read the points."""
        query = """
            SELECT sum(g.auto_score) FROM grade g JOIN submitted_notebook n ON n.id = g.notebook_id
                JOIN submitted_assignment a ON a.id = n.assignment_id WHERE a.student_id = ?
        """
        with closing(sqlite3.connect(self._folder / "gradebook.db")) as gradebook:
            score = gradebook.execute(query, (turn,)).fetchone()[0]
        return float(score) == sum(points().values())


class Pytest:
    """A container for a plain pytest file."""

    name = "pytest, docker"
    facts = "a container; tests in the submission's process"

    def __init__(self, folder: Path) -> None:
        """Build the image where it is not there. Raises AbsentError."""
        self._folder = folder
        self._codes: dict[str, int] = {}
        if shutil.which("docker") is None:
            raise AbsentError("the program `docker` is not installed")
        self._image = image(folder)

    def place(self, source: bytes, turn: str) -> None:
        """Write the file and its tests."""
        (self._folder / turn).mkdir(parents=True)
        (self._folder / turn / "softmax.py").write_bytes(source)
        (self._folder / turn / "test_softmax.py").write_text(pytest_tests(), encoding="utf-8")

    def run(self, turn: str) -> None:
        """Judge it."""
        command = ["docker", "run", "--rm", "--network", "none", "--tmpfs", "/tmp"]
        command += ["--volume", f"{self._folder / turn}:/work:ro", self._image]
        command += ["python3", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_softmax.py"]
        ran = subprocess.run(command, capture_output=True, check=False, text=True, timeout=_LIMIT_SECONDS)
        if ran.returncode and " failed" not in ran.stdout:  # pytest has not come so far
            raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
        self._codes[turn] = ran.returncode

    def accepted(self, turn: str) -> bool:
        """Read the exit code."""
        return self._codes[turn] == 0


class Warm:
    """A worker of ours, for as long as the benchmark runs."""

    facts = "bubblewrap; tests never in the sandbox"

    def __init__(self, isolation: Isolation, *, timed: bool = False) -> None:
        """Start nothing yet."""
        self.name = f"ours, warm {isolation}" + ", speed" * timed
        self._exercise, self._timed = exercises.load("softmax"), timed
        self._pool = Pool("bubblewrap", isolated=True, isolation=isolation)
        self._sources: dict[str, bytes] = {}
        self._verdicts: dict[str, Verdict] = {}

    def place(self, source: bytes, turn: str) -> None:
        """Keep the file."""
        self._sources[turn] = source

    def run(self, turn: str) -> None:
        """Judge it."""
        process = self._pool.start(self._exercise)
        try:
            report = process.run(self._sources[turn], seed=judge.new_seed(), timed=self._timed)
        finally:
            process.close()
        self._verdicts[turn] = report.verdict

    def accepted(self, turn: str) -> bool:
        """Read the verdict."""
        return self._verdicts[turn] is Verdict.ACCEPTED

    def close(self) -> None:
        """End its slots."""
        self._pool.close()


class Cold:
    """Our command line."""

    name = "ours, cold"
    facts = "bubblewrap; tests never in the sandbox"

    def __init__(self, folder: Path) -> None:
        """Write the exercise without its speed limit, and make the database."""
        self._folder = folder
        self._codes: dict[str, int] = {}
        self._exercise = untimed.write("softmax", folder)
        self.place(RIGHT.read_bytes(), "database")
        self.run("database")

    def place(self, source: bytes, turn: str) -> None:
        """Write the file."""
        (self._folder / f"{turn}.py").write_bytes(source)

    def run(self, turn: str) -> None:
        """Judge it."""
        command = [sys.executable, "-m", "grader", "submit", self._exercise, f"{turn}.py", "-q"]
        settings = {"GRADER_HOME": str(self._folder), "GRADER_EXERCISES": str(self._folder / "exercises")}
        settings |= {"GRADER_ENGINE": "bubblewrap", "GRADER_SERVER": "none", "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            command, env=os.environ | settings, cwd=self._folder, capture_output=True, check=False, text=True
        )
        if ran.returncode not in {0, 1}:
            raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
        self._codes[turn] = ran.returncode

    def accepted(self, turn: str) -> bool:
        """Read the exit code."""
        return self._codes[turn] == 0


def main() -> int:
    """Measure and print; returns 1 where the target is missed."""
    parser = argparse.ArgumentParser(description="Measure the time to a verdict beside other graders.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    absent: dict[str, str] = {}
    judge.warm("numpy")
    try:
        with ExitStack() as stack:
            contenders = list(gathered(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack, absent))
            for each in contenders:
                rehearse(each)
            for number in range(options.rounds):
                sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
                for each in contenders:
                    wall, busy = seconds(each, RIGHT, f"r{number}", accepted=True)
                    samples[each.name].append(1000 * wall)
                    cpu[each.name].append(busy)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"failed: {error}\n{error.stdout}\n{error.stderr}\n")
        return 1
    facts = {each.name: each.facts for each in contenders}
    if options.json:
        found = {
            "rounds": options.rounds,
            "milliseconds": samples,
            "cpu_seconds": cpu,
            "absent": absent,
            "facts": facts,
        }
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        sys.stdout.write(table(samples, cpu, facts, absent))
    return int(not met(samples))


def gathered(folder: Path, stack: ExitStack, absent: dict[str, str]) -> Iterator[Contender]:
    """Yield who takes part, peers first; `absent` learns who does not, and why."""
    for kind in (Otter, Nbgrader, Pytest):
        place = folder / kind.name.partition(",")[0]
        place.mkdir()
        try:
            yield kind(place)
        except AbsentError as error:
            absent[kind.name] = str(error)
            sys.stderr.write(f"{kind.name} takes no part: {error}\n")
    for ours in (Warm("fork"), Warm("container"), Warm("fork", timed=True)):
        stack.callback(ours.close)
        yield ours
    (folder / "cold").mkdir()
    yield Cold(folder / "cold")


def rehearse(contender: Contender) -> None:
    """Have a wrong and a right file judged, untimed: what follows is warm, and means something."""
    seconds(contender, WRONG, "wrong", accepted=False)
    seconds(contender, RIGHT, "right", accepted=True)


def seconds(contender: Contender, file: Path, turn: str, *, accepted: bool) -> tuple[float, float]:
    """Judge once; returns the seconds that took, and those that cores were busy. Raises RuntimeError where it errs."""
    contender.place(file.read_bytes(), turn)
    busy, began = warm.busy(), time.perf_counter()
    contender.run(turn)
    spent = time.perf_counter() - began, warm.busy() - busy
    if contender.accepted(turn) is not accepted:
        raise RuntimeError(f"{contender.name} gives {file.name} the wrong verdict")
    return spent


def installed(name: str) -> Path:
    """Return the programs of a peer, installed into an environment of its own. Raises AbsentError."""
    wanted = [f"{name}=={PEERS[name]}", f"numpy=={version('numpy')}", KERNEL]
    folder = cache() / f"{name}-{_hash(*wanted)}"
    if not (folder / "done").exists():
        sys.stderr.write(f"installing {' '.join(wanted)} into {folder}: some minutes, once\n")
        shutil.rmtree(folder, ignore_errors=True)
        commands = [[sys.executable, "-m", "venv", str(folder)]]
        commands += [[str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input", *wanted]]
        fetch(name, commands)
        (folder / "done").touch()
    return folder / "bin"


def image(folder: Path) -> str:
    """Return an image with our NumPy sandbox's Python and libraries, and pytest; it stays. Raises AbsentError."""
    base, wanted = build.image_name("numpy"), f"pytest=={version('pytest')}"
    dockerfile = f"FROM {base}\nCOPY libraries /peer\nENV PYTHONPATH=/sandbox/lib:/peer\nWORKDIR /work\n"
    name = f"grader-peer:pytest-{_hash(dockerfile, wanted)}"
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode:
        sys.stderr.write(f"building {name}, once\n")
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", str(folder / "libraries")]
        pip += ["--only-binary=:all:", "--python-version=3.11", wanted]
        fetch("pytest", [pip, ["docker", "build", "--quiet", "--network", "none", "--tag", name, str(folder)]])
    return name


def fetch(name: str, commands: list[list[str]]) -> None:
    """Run what installs something. Raises AbsentError with the last that it said."""
    for command in commands:
        try:
            subprocess.run(command, capture_output=True, check=True, text=True, timeout=_INSTALL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise AbsentError(f"{name} was not installed within {_INSTALL_SECONDS} seconds") from error
        except subprocess.CalledProcessError as error:
            said = [line for line in error.stderr.splitlines() if line and not line.startswith("WARNING")]
            raise AbsentError(f"{name} cannot be installed: {said[-1] if said else error}") from error


def cache() -> Path:
    """Return the folder that keeps peers between runs."""
    folder = platformdirs.user_cache_path("grader") / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check(command: list[str], folder: Path, *, path: Path) -> None:
    """Run a peer's program with nothing of ours around it; raises CalledProcessError where it failed."""
    env = {"PATH": f"{path}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8"}
    program = [str(path / command[0]), *command[1:]]
    subprocess.run(program, env=env, cwd=folder, capture_output=True, check=True, text=True, timeout=_LIMIT_SECONDS)


def points() -> dict[str, int]:
    """Return the points of our hidden tests by name, but of the one that times; peers must have the same tests."""
    found = {}
    for test in untimed.tests_of(HIDDEN):
        if not untimed.is_timed(test):
            marks = [mark for mark in map(ast.unparse, test.decorator_list) if mark.startswith("pytest.mark.points(")]
            found[test.name] = int(marks[0].removeprefix("pytest.mark.points(").removesuffix(")"))
    if found.keys() != {test.name for test in untimed.tests_of(TESTS)}:
        raise ValueError(f"{TESTS.name} does not have the hidden tests of softmax")
    return found


def parts() -> tuple[str, dict[str, tuple[str, str]]]:
    """Return what all tests of the peers share, and of each its source and a call of it."""
    text = shared = TESTS.read_text(encoding="utf-8")
    tests = {}
    for test in untimed.tests_of(TESTS):
        source = ast.get_source_segment(text, test) or ""
        shared = shared.replace(source, "")
        tests[test.name] = source, f"{test.name}({', '.join(each.arg for each in test.args.args)})"
    return shared.rstrip() + "\n", tests


def otter_tests() -> str:
    """Return the tests as otter-grader takes them."""
    shared, tests = parts()
    head = "from otter.test_files import test_case\n\nOK_FORMAT = False\nname = 'softmax'\npoints = None\n\n"
    cases = [f"@test_case(points={points()[name]}, hidden=True)\n{source}" for name, (source, _) in tests.items()]
    return head + "\n\n\n".join([shared, *cases]) + "\n"


def pytest_tests() -> str:
    """Return the tests as pytest takes them."""
    fixtures = "".join(
        f"\n\n@pytest.fixture(name={name!r})\ndef _{name}():\n    return submitted.{name}\n"
        for name in ("softmax", "softmax_backward")
    )
    return f"import pytest\nimport softmax as submitted\n{TESTS.read_text(encoding='utf-8')}{fixtures}"


def assignment(solution: str) -> dict[str, object]:
    """Return a notebook for nbgrader with a solution in its first cell."""
    shared, tests = parts()
    cells = [cell("solution", f"### BEGIN SOLUTION\n{solution}\n### END SOLUTION", solution=True)]
    cells.append(cell("shared", f"### BEGIN HIDDEN TESTS\n{shared}\n### END HIDDEN TESTS", grade=True, points=0))
    for name, (source, call) in tests.items():
        text = f"### BEGIN HIDDEN TESTS\n{source}\n\n\n{call}\n### END HIDDEN TESTS"
        cells.append(cell(name, text, grade=True, points=points()[name]))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def cell(name: str, source: str, *, solution: bool = False, **grading: object) -> dict[str, object]:
    """Return one cell."""
    marks = {"schema_version": 3, "grade_id": name, "grade": False, "task": False}
    marks |= {"solution": solution, "locked": not solution, **grading}
    shown: dict[str, object] = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "id": _hash(name), "metadata": {"nbgrader": marks}, "source": source, **shown}


def table(
    samples: dict[str, list[float]], cpu: dict[str, list[float]], facts: dict[str, str], absent: dict[str, str]
) -> str:
    """Return a line for each contender, and what became of the target."""
    rounds = len(samples[OURS])
    lines = [f"{rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", ""]
    lines.append(f"{'':24} {'milliseconds':24} {'times ours':20} {'CPU s':7} isolation; where the tests are")
    for name, taken in samples.items():
        low, median, high = quartiles(taken)
        busy = statistics.median(cpu[name])
        ratio = "" if name == OURS else "{1:.1f}x [{0:.1f}, {2:.1f}]".format(*quartiles(ratios(samples, name)))
        lines.append(f"{name:24} {f'{median:.0f} [{low:.0f}, {high:.0f}]':24} {ratio:20} {busy:<7.2f} {facts[name]}")
    lines += [f"{name:24} takes no part: {why}" for name, why in absent.items()]
    peers = [name for name in samples if not name.startswith("ours")]
    if not peers:
        return "\n".join([*lines, "", "no peer could be had: nothing to compare with"]) + "\n"
    quickest = min(peers, key=lambda name: statistics.median(samples[name]))
    low, median, high = quartiles(ratios(samples, quickest))
    found = f"{quickest} is the quickest peer and takes {median:.1f} [{low:.1f}, {high:.1f}] times as long as {OURS}"
    return "\n".join([*lines, "", f"{found}; target {TARGET:g}: {'met' if median >= TARGET else 'MISSED'}"]) + "\n"


def met(samples: dict[str, list[float]]) -> bool:
    """Tell whether each peer takes so many times as long as ours."""
    peers = [name for name in samples if not name.startswith("ours")]
    return bool(peers) and all(statistics.median(ratios(samples, name)) >= TARGET for name in peers)


def ratios(samples: dict[str, list[float]], name: str) -> list[float]:
    """Return how many times as long as ours one took, in each round."""
    return [other / ours for other, ours in zip(samples[name], samples[OURS], strict=True)]


def quartiles(figures: list[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return statistics.quantiles(figures, n=4, method="inclusive") if len(figures) > 1 else figures * 3


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main())
