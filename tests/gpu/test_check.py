"""What `make gpu-check` says where it cannot begin, and where it takes what is missing from."""

import platform
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.gpu import check

SCRIPT = Path(__file__).parent / "check.py"


def test_it_says_what_is_missing(tmp_path):
    """No driver's program, no PyTorch: exit code 2 and the reason, before anything is judged."""

    def run(*arguments):
        command, nowhere = [sys.executable, *arguments, SCRIPT], {"PATH": str(tmp_path)}
        return subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False, timeout=60)

    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "gpu-check cannot begin: this machine shows no NVIDIA GPU: there is no nvidia-smi on the path" in done.stderr
    done = run("-S")
    assert done.returncode == 2
    assert "not to be imported: torch, numpy, pytest, msgspec; put wheels for this Python into" in done.stderr


def test_wheels_for_this_python_are_used(tmp_path, monkeypatch):
    """What is there already is left alone; what fits is unpacked; what is for another Python is not."""
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for name, tag in (("one", "py3-none-any"), ("two", f"{own}-{own}-manylinux_2_28_{platform.machine()}"),
                      ("three", "cp399-cp399-manylinux_2_28_x86_64"), ("pytest", "py3-none-any")):  # fmt: skip
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-{tag}.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "x = 1\n")
    monkeypatch.setattr(check, "FROM_WHEELS", ("one", "two", "three", "pytest"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    into = tmp_path / "into"
    check.unpack_wheels(tmp_path, into)
    assert sorted(path.name for path in into.iterdir()) == ["one.py", "two.py"]
    assert sys.path[-1] == str(into)


def test_every_hostile_file_says_its_verdict():
    """Each of tests/gpu/attacks has one that the checker reads."""
    found = list((SCRIPT.parent / "attacks").glob("*.py"))
    assert len(found) >= 10
    for path in found:
        assert "\nVerdict: " in path.read_text(encoding="utf-8"), path
