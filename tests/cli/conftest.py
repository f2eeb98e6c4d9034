"""The command line as its users meet it: a real process, with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = ("NO_COLOR", "CI", "COLUMNS", "FORCE_COLOR", "GRADER_EXERCISES", "GRADER_LEARNER")
REMOTE = ("GRADER_SERVER", "GRADER_TOKEN", "SSL_CERT_FILE")
ENGINES = ("GRADER_ENGINE", "GRADER_ISOLATED", "GRADER_DOCKER_RUNTIME", "GRADER_DOCKER_GPUS")

Grader = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which nothing of the person who tests counts."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS + ENGINES + REMOTE}
    home = {"GRADER_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return {**kept, **home, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "TERM": "xterm-256color"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Make the folder that commands run in."""
    folder = tmp_path / "work with blanks"
    folder.mkdir()
    return folder


@pytest.fixture
def grader(work: Path, environment: dict[str, str]) -> Grader:
    """Run `grader ARGUMENTS` in `work`; keywords change the environment."""

    def run(*arguments: str | Path, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "grader", *map(str, arguments)],
            cwd=work,
            env={**environment, **changes},
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )

    return run
