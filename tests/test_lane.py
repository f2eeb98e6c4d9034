"""The GPU lane from end to end, over a pretended GPU (`tests/pretended_gpu.py`) and its driver's program."""

import sys
from pathlib import Path

import pytest

from grader import gate, judge, local
from grader.errors import ExerciseError, NoGpu, UsageError
from grader.pool import Pool
from grader.verdict import Verdict
from tests.conftest import KINDS, TORCH
from tests.gpus import A100, H100, Machine

TOML = TORCH["exercise.toml"].replace('kind = "torch"', 'kind = "torch"\ndevices = ["cpu", "cuda"]')
SPEED = '''

@pytest.mark.points(1)
def test_speed(speed, rng):
    """Takes no longer than the reference, nearly."""
    size = 64 if speed.device == "cpu" else 512
    for _ in range(2 if speed.device == "cuda" else 1):
        speed("double", lambda n: (speed.normal(n, n),), sizes=(size, 2 * size), ratio=4, traffic=lambda n: 1.0)
'''
SLOW_REFERENCE = '''"""f x, by way of a product that takes a while."""

import torch


def double(x, factor=2.0):
    """Return factor * x."""
    return factor * x if x.ndim == 1 else factor * x + 0 * (x @ x)
'''
TIMED = {"exercise.toml": TOML, "hidden_tests.py": TORCH["hidden_tests.py"] + SPEED, "reference": SLOW_REFERENCE}
RIGHT = SLOW_REFERENCE.encode()
SLOW = RIGHT.replace(b"0 * (x @ x)", b"sum(0 * (x @ x) for _ in range(12))")
STALE = (
    RIGHT
    + b"""

right, kept = double, []


def double(x, factor=2.0):
    if x.ndim == 1:
        return right(x, factor)
    kept.append(right(x, factor) if len(kept) < 6 else kept[-1])
    return kept[-1]
"""
)
NARROW = RIGHT.replace(b"factor * x + 0", b"factor * x.half().float() + 0")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a machine with one GPU, which is pretended."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("GRADER_DOCKER_GPUS", raising=False)
    monkeypatch.setattr(local, "HARNESS", Path(__file__).parent / "pretended_gpu.py")
    found = Machine(tmp_path, sys.executable)
    found.add(H100)
    return found


@pytest.fixture
def exercise(make_exercise):
    """Return an exercise for either device, on the GPU."""
    return make_exercise("torch", {"exercise.toml": TOML}).on("cuda")


@pytest.fixture
def timed(make_exercise):
    """Return the same with a test of speed."""
    return make_exercise("torch", TIMED).on("cuda")


def test_the_first_device_is_the_default_and_another_may_be_chosen(make_exercise):
    """`devices` says where; what is not there is refused, but for what was sent when it was."""
    either = make_exercise("torch", {"exercise.toml": TOML})
    assert (either.device, either.on("").device, either.on("cuda").device) == ("cpu", "cpu", "cuda")
    plain = make_exercise("torch", name="plain")
    with pytest.raises(UsageError, match="is not judged on 'cuda'") as caught:
        plain.on("cuda")
    assert caught.value.code == "E2140"
    assert plain.as_sent("cuda").device == "cpu"


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("torch", "devices = []", "names none, or one twice"),
        ("torch", 'devices = ["cuda", "cuda"]', "names none, or one twice"),
        ("function", 'devices = ["cuda"]', "without PyTorch is judged on the CPU"),
        ("torch", "compiles = true", "kernels for a GPU"),
    ],
)
def test_devices_that_make_no_sense_are_refused(make_exercise, kind, line, said):
    """With file and line, as every malformed exercise."""
    toml = KINDS[kind]["exercise.toml"]
    with pytest.raises(ExerciseError) as caught:
        make_exercise(kind, {"exercise.toml": toml.replace("difficulty = 1", f"difficulty = 1\n{line}")})
    assert said in caught.value.cause


def test_a_right_file_is_accepted_and_the_report_names_the_gpu(machine, exercise):
    """Model, driver and CUDA's version; values and gradients crossed to the device and back."""
    report = judge.judge(exercise, TORCH["reference"].encode())
    assert report.verdict is Verdict.ACCEPTED
    assert report.environment.device == "NVIDIA H100 80GB HBM3, driver 580.65.06, CUDA 13.0"


def test_on_the_cpu_no_gpu_is_asked_for(machine, exercise):
    """The same exercise on its other device, where the driver fails."""
    machine.fails = "GPU is lost"
    machine.tell()
    report = judge.judge(exercise.on("cpu"), TORCH["reference"].encode())
    assert (report.verdict, report.environment.device) == (Verdict.ACCEPTED, "")


def test_without_a_gpu_nothing_begins(machine, exercise):
    """The one who asks is told, by an error with an exit code of its own."""
    machine.boards.clear()
    machine.tell()
    process = judge.start(exercise)
    try:
        with pytest.raises(NoGpu) as caught:
            process.started()
    finally:
        process.close()
    assert (caught.value.code, caught.value.exit_code) == ("E4130", 9)


def test_two_judgings_at_once_have_a_gpu_each(machine, exercise):
    """A third finds none; it is the judge's process that holds one, to its end. What the gate judges takes turns."""
    machine.add(A100, "NVIDIA A100-SXM4-80GB")
    first, second, third = (judge.start(exercise) for _ in range(3))
    try:
        outcomes = []
        for process in (first, second, third):
            try:
                outcomes.append(process.started())
            except NoGpu as error:
                outcomes.append(error.code)
        assert sorted(outcomes) == ["E4131", "local", "local"]
    finally:
        for process in (first, second, third):
            process.close()
    del machine.boards[A100]
    machine.tell()
    runs = gate.judge_all(exercise, [gate.Run(name, TORCH["reference"].encode()) for name in ("one", "another")])
    assert [each.report.verdict for each in runs] == [Verdict.ACCEPTED] * 2


def test_no_standby_serves_on_a_gpu(machine, exercise):
    """One waits for a file on the CPU, of the same size; it holds no GPU, and is left alone."""
    source = TORCH["reference"].encode()
    pool, devices = Pool("local", isolated=False, isolation="container", standbys=1), []
    try:
        for each in (exercise.on("cpu"), exercise):
            process = pool.start(each)
            try:
                report = process.run(source, seed="5" * 32)
            finally:
                process.close()
            assert report.verdict is Verdict.ACCEPTED, report.log
            devices.append(report.environment.device[:11])
            pool.settle()
    finally:
        pool.close()
    assert devices == ["", "NVIDIA H100"]


def test_work_on_any_stream_is_waited_for(machine, exercise):
    """What a file has only put on a stream when it returns is in the answer: nothing is gained, nothing is lost."""
    source = b"""
import torch

def double(x, factor=2.0):
    out = torch.empty_like(x)
    torch.cuda.later(lambda: out.copy_(factor * x))
    return out
"""
    report = judge.judge(exercise, source)
    assert report.verdict is Verdict.ACCEPTED, report.tests


TWO = (
    TORCH["hidden_tests.py"]
    + '''

@pytest.mark.points(1)
def test_again(submission, reference, rng):
    """Doubles once more."""
    x = torch.from_numpy(rng.normal(size=3))
    assert_close(submission.double(x, factor=5.0), reference.double(x, factor=5.0))
'''
)


@pytest.mark.parametrize(
    ("failure", "verdict", "said", "sandboxes"),
    [
        ('torch.cuda.later(lambda: fail("CUDA error: an illegal memory access was encountered"))',
         Verdict.RUNTIME_ERROR, "made the GPU fail", 2),
        ('fail("Triton Error [CUDA]: device-side assert triggered")', Verdict.RUNTIME_ERROR, "made the GPU fail", 2),
        ('raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1024.00 GiB.")',
         Verdict.MEMORY_LIMIT_EXCEEDED, "more memory than the GPU has", 1),
        ("while True: pass", Verdict.TIME_LIMIT_EXCEEDED, "did not return", 2),
    ],
)  # fmt: skip
def test_what_goes_wrong_on_a_gpu_has_a_verdict_of_its_own(machine, make_exercise, failure, verdict, said, sandboxes):
    """An illegal access, found when the stream is waited for, an assertion, no memory, no end; the next test is new."""
    exercise = make_exercise("torch", {"exercise.toml": TOML, "hidden_tests.py": TWO}).on("cuda")
    source = f"""
import torch

def fail(text):
    raise RuntimeError(text)

def double(x, factor=2.0):
    if factor == 2.0:
        {failure}
    return factor * x
"""
    report = judge.judge(exercise, source.encode())
    first, second = report.tests
    assert (first.verdict, second.verdict, report.usage.sandboxes) == (verdict, Verdict.ACCEPTED, sandboxes)
    assert said in first.message


def test_speed_is_taken_by_the_clock_and_proven_by_sums(machine, timed):
    """Inputs are drawn over there, answers are sums; the report says what the GPU could do at best."""
    report = judge.judge(timed, RIGHT)
    assert report.verdict is Verdict.ACCEPTED, report
    first, speed = report.tests[-1].speed
    assert first.outcome == "within"
    assert (speed.outcome, speed.sizes, speed.impossible) == ("within", [512, 1024], False)
    assert speed.floor_seconds == 1 / 3.35e12
    assert speed.memory_mib is None


def test_what_is_slow_on_a_gpu_is_too_slow(machine, timed):
    """Twelve products in place of one, where four would pass."""
    report = judge.judge(timed, SLOW)
    assert report.verdict is Verdict.TIME_LIMIT_EXCEEDED
    assert "times as long as the reference" in report.tests[-1].message


@pytest.mark.parametrize("source", [STALE, NARROW], ids=["a graph that replays old results", "half precision inside"])
def test_fast_and_wrong_is_wrong(machine, timed, source):
    """Results of earlier inputs, and results to half the digits, do not have the sums."""
    report = judge.judge(timed, source)
    assert (report.verdict, report.tests[-1].message[-9:]) == (Verdict.WRONG_ANSWER, "is wrong.")


def test_no_verdict_on_speed_where_the_gpu_is_throttled(machine, make_exercise, monkeypatch):
    """It is our fault, and told; a wrong file is wrong all the same."""
    timed = make_exercise("torch", {**TIMED, "hidden_tests.py": TIMED["hidden_tests.py"].replace("512", "128")})
    timed = timed.on("cuda")
    machine.change(H100, **{"clocks_event_reasons.sw_thermal_slowdown": "Active"})
    monkeypatch.setattr(judge, "_TRIES", 1)
    report = judge.judge(timed, SLOW)
    assert report.verdict is Verdict.INTERNAL_ERROR
    assert "it is too hot" in report.log
    assert judge.judge(timed, STALE).verdict is Verdict.WRONG_ANSWER
