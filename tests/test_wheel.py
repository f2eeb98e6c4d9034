"""The wheel works by itself: built, installed apart from the checkout, and used there by a student."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import grader

ROOT = Path(__file__).parent.parent
# One worker builds and installs for all tests of this file.
pytestmark = pytest.mark.timeout(600)


def clean_environment():
    """Return this environment without what would let the checkout or the user's settings show through."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "GRADER_", "VIRTUAL_ENV", "PYTEST_", "COV_"))
    }


def run(command, cwd, **more):
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment() | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the source distribution, and from that alone the wheel, as a packager does."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Student:
    """Somebody with the installed command, in a folder of their own."""

    folder: Path
    python: Path

    def grader(self, *arguments):
        """Run `grader` with these arguments; return what it prints."""
        command = self.python.with_name("grader")
        return run([command, *arguments], cwd=self.folder, GRADER_HOME=str(self.folder / "home"))


@pytest.fixture(scope="module")
def student(wheel, tmp_path_factory):
    """Return a student who has just installed the wheel with its extra `judge`, on a path with blanks."""
    folder = tmp_path_factory.mktemp("a place") / "with blanks, (and more)"
    environment = folder / "its own environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    run([*install, "-c", ROOT / "constraints.txt", f"{wheel}[judge]"], cwd=folder)
    return Student(folder, python)


def test_wheel_carries_every_exercise_and_reference(wheel):
    """What lies in exercises/ and reference/ of the checkout lies in the wheel, and no cache with it."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    here = {
        f"grader/content/{path.relative_to(ROOT).as_posix()}"
        for folder in ("exercises", "reference")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"grader/content/exercises/softmax/hidden_tests.py", "grader/content/reference/softmax.py"} <= here
    assert here <= inside
    assert [name for name in inside if "__pycache__" in name or name.startswith("tests/")] == []


def test_wheel_carries_all_of_the_package(wheel):
    """Every file of grader/, templates and migrations included, is in the wheel."""
    inside = set(zipfile.ZipFile(wheel).namelist())
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "grader").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "grader/verdict.py" in here
    assert here <= inside


def test_judge_installs_without_torch(student):
    """The extra `judge` brings NumPy but not PyTorch."""
    installed = {
        each["name"].lower()
        for each in json.loads(
            run(
                [student.python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
                cwd=student.folder,
            )
        )
    }
    assert {"grader", "numpy", "sqlalchemy"} <= installed
    assert "torch" not in installed


def test_installed_package_is_not_the_checkout(student):
    """The installed command imports the wheel's files, so that the other tests of this file say something."""
    told = run([student.python, "-c", "import grader; print(grader.__file__)"], cwd=student.folder).strip()
    assert Path(told).is_relative_to(student.folder)


def test_installed_command_tells_its_version(student):
    """`grader version` prints the version of the wheel."""
    assert grader.__version__ in student.grader("version")


def test_installed_command_lists_every_exercise(student):
    """`grader list` shows each folder of exercises/."""
    listed = student.grader("list")
    names = [path.parent.name for path in (ROOT / "exercises").glob("*/exercise.toml")]
    assert "softmax" in names
    assert [name for name in names if name not in listed] == []


def test_installed_command_judges_a_submission(student):
    """A right submission is accepted by the installed judge, with full marks, and the report is kept."""
    right = student.folder / "right one.py"
    right.write_bytes((ROOT / "docs" / "demo" / "right.py").read_bytes())
    report = json.loads(student.grader("submit", "softmax", right.name, "--json"))
    assert report["schema"] == "grader/report/1"
    assert report["verdict"] == "accepted"
    assert report["score"] == report["max_score"] > 0
    assert report["environment"]["grader"] == grader.__version__
    assert json.loads(student.grader("results", "--json"))["judging"] == report["judging"]
