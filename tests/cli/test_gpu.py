"""The command line where there is no GPU, and where there is one."""

import json
import sys

import pytest

from tests.gpus import A100, H100, Machine

RIGHT = "def fused_softmax(x, bias, scale=1.0):\n    return x\n"


@pytest.fixture
def none(tmp_path):
    """Return an environment without a driver's program."""
    return {"PATH": str(tmp_path / "nothing")}


def test_without_a_gpu_an_exercise_for_one_is_not_judged(grader, work, none):
    """Exit code 9, from `submit`, `check` and the gate alike, and nothing is stored."""
    (work / "fused_softmax.py").write_text(RIGHT)
    for command in (
        ("submit", "fused_softmax.py"),
        ("check", "fused_softmax.py"),
        ("submit", "attention", "fused_softmax.py", "--device", "cuda"),
        ("verify", "fused-softmax", "--seeds", "1"),
    ):
        done = grader(*command, "--engine", "local", **none)
        assert (done.returncode, done.stdout) == (9, ""), done
        assert "error[E4130]: this machine has no GPU to judge on" in done.stderr
    listed = json.loads(grader("history", "fused-softmax", "--json").stdout)["submissions"]
    assert listed == []


def test_a_device_that_an_exercise_does_not_have(grader, work):
    """A usage error that names those it has."""
    (work / "softmax.py").write_text("x = 1\n")
    done = grader("submit", "softmax.py", "--device", "cuda")
    assert done.returncode == 2
    assert "error[E2140]: softmax is not judged on 'cuda'" in done.stderr
    assert "--device cpu" in done.stderr


@pytest.mark.parametrize(("exercise", "engine"), [("attention", "docker"), ("fused-softmax", "bubblewrap")])
def test_an_engine_that_lacks_what_is_needed(grader, work, exercise, engine):
    """Refused before a GPU is looked for: no image has CUDA, and only `local` compiles kernels."""
    (work / "file.py").write_text(RIGHT)
    done = grader("submit", exercise, "file.py", "--device", "cuda", "--engine", engine)
    assert done.returncode == 3
    assert f"error[E4134]: the sandboxes of engine {engine} do not have" in done.stderr


def test_the_doctor_tells_of_each_gpu(grader, tmp_path, environment):
    """Model, driver, memory, faults, what runs on it; as JSON and as a page."""
    machine = Machine(tmp_path, sys.executable)
    machine.add(H100)
    machine.add(A100, "NVIDIA A100-SXM4-80GB")
    machine.boards[A100]["processes"] = [4711]
    machine.change(A100, **{"ecc.errors.uncorrected.volatile.total": "2"})
    path = {"PATH": f"{tmp_path}:{environment['PATH']}"}
    good, bad = json.loads(grader("doctor", "--json", **path).stdout)["gpus"]
    assert (good["what"], good["ok"]) == (H100, True)
    assert good["seen"] == "NVIDIA H100 80GB HBM3, driver 580.65.06, 81559 MiB, nothing runs on it"
    assert (bad["what"], bad["ok"]) == (A100, False)
    assert "1 processes on it, ecc.errors.uncorrected.volatile.total is 2" in bad["seen"]
    page = grader("doctor", **path).stdout
    assert H100 in page
    assert "GPUs" in page
