"""`make gpu-check`: the GPU lane from end to end, on the GPU of this machine, within eight minutes.

It needs PyTorch with CUDA, NumPy, pytest and msgspec, of whatever version, Triton with a C compiler for the kernels,
and `nvidia-smi`; no network, no container engine, no root and no installation of this project. Where pytest or msgspec
are missing they are taken from wheels in the folder `wheels/`. All is judged by the engine `local`: the files are ours.

    python3 tests/gpu/check.py [--seconds 470] [--figures FILE]

Each line says what was seen and whether it is as it must be; at the end the figures, as Markdown for docs/gpu.md. Exit
code 0: all was; 1: something was not; 2: it could not begin, and why; steps for which no time was left are named.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDED = ("torch", "numpy", "pytest", "msgspec")
FROM_WHEELS = ("pytest", "msgspec", "iniconfig", "packaging", "pluggy", "pygments")
FRESH_SECONDS, PREPARED_SECONDS = 3.0, 1.0
SETTLED_SECONDS = 0.1
JUDGINGS = 20
SPREAD = TRICK = 0.03
TRUTH = 0.10
_EVENTS = """
import json, statistics, sys, torch
sys.path.insert(0, sys.argv[1])
from reference.attention import attention
from torch.nn.functional import scaled_dot_product_attention as fused
torch.backends.cuda.matmul.allow_tf32 = False

def spent(function):
    times = []
    for _ in range(40):
        inputs = [torch.randn(16, 2048, 64, device="cuda") for _ in range(3)]
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        function(*inputs)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times[10:])

print(json.dumps([spent(attention), spent(fused)]))
"""
_TRUTH_TESTS = '''"""One right answer, then the time."""

import pytest
import torch

from grader.checkers import assert_close


@pytest.mark.points(1)
def test_answer(submission, reference, rng):
    """It is attention."""
    args = [torch.from_numpy(rng.normal(size=(2, 7, 4))).float() for _ in range(3)]
    assert_close(submission.attention(*args), reference.attention(*args))


@pytest.mark.points(1)
def test_speed(speed, rng):
    """It takes some time."""
    speed("attention", lambda n: tuple(speed.normal(16, n, 64) for _ in range(3)), sizes=(1024, 2048), ratio=50)
'''
_FUSED = b"""
from torch.nn.functional import scaled_dot_product_attention

def attention(query, key, value, mask=None, causal=False):
    return scaled_dot_product_attention(query, key, value)
"""


class Check:
    """What was seen so far, and how much time is left."""

    def __init__(self, seconds: float) -> None:
        """Begin the clock."""
        self._until = time.monotonic() + seconds
        self.failed = 0
        self.left_out: list[str] = []
        self.figures: dict[str, str] = {}

    def say(self, name: str, seen: str, *, ok: bool = True) -> None:
        """Print a line, and count it."""
        self.failed += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {name}: {seen}", flush=True)

    def has(self, seconds: float, name: str) -> bool:
        """Tell whether there is time for a step; else it is noted as left out."""
        if time.monotonic() + seconds <= self._until:
            return True
        self.left_out.append(name)
        return False


def unpack_wheels(folder: Path, into: Path) -> None:
    """Make what is missing importable from wheels that fit this Python."""
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for name in FROM_WHEELS:
        if importlib.util.find_spec(name) is not None:
            continue
        for wheel in sorted(folder.glob(f"{name}-*.whl")):
            if re.search(rf"-({own}-{own}-manylinux.*{platform.machine()}|py3-none-any)", wheel.name):
                zipfile.ZipFile(wheel).extractall(into)
    sys.path.append(str(into))
    importlib.invalidate_caches()


def missing() -> str:
    """Say what this machine lacks, if anything, and what helps."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        return f"not to be imported: {', '.join(absent)}; put wheels for this Python into {ROOT / 'wheels'}"
    if shutil.which("nvidia-smi") is None:
        return "this machine shows no NVIDIA GPU: there is no nvidia-smi on the path"
    look = "import numpy, torch; assert torch.cuda.is_available(), 'PyTorch sees no GPU'; print(torch.version.cuda)"
    ran = subprocess.run([sys.executable, "-I", "-c", look], capture_output=True, text=True, check=False)
    if ran.returncode:
        return f"`{sys.executable} -I` has no PyTorch that sees a GPU: {ran.stderr.strip().rpartition(chr(10))[2]}"
    from grader import gpu

    return "" if gpu.found() else "nvidia-smi shows no GPU that may be used; see GRADER_DOCKER_GPUS"


def main() -> int:
    """Run all steps."""
    parser = argparse.ArgumentParser(description="Check the GPU lane on this machine's GPU.")
    parser.add_argument("--seconds", type=float, default=470.0)
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unpack_wheels(ROOT / "wheels", Path(folder))
        sys.path.insert(0, str(ROOT))
        os.environ.pop("GRADER_EXERCISES", None)
        if why := missing():
            print(f"gpu-check cannot begin: {why}", file=sys.stderr)
            return 2
        check = Check(options.seconds)
        Steps(check, Path(folder)).run()
    table = "\n".join(f"| {name} | {value} |" for name, value in check.figures.items())
    print(f"\n| figure | seen |\n|---|---|\n{table}")
    if options.figures:
        options.figures.write_text(json.dumps(check.figures, indent=2) + "\n", encoding="utf-8")
    for name in check.left_out:
        print(f"no time was left for: {name}")
    print(f"\n{check.failed} failed, {len(check.left_out)} left out")
    return 1 if check.failed else 0


class Steps:
    """The steps, in the order of what matters most."""

    def __init__(self, check: Check, folder: Path) -> None:
        """Load what is judged; only now is anything of the project imported."""
        from grader import exercise as exercises
        from grader import gpu, judge
        from grader.verdict import Verdict

        self.check, self.folder = check, folder
        self.judge, self.gpu, self.verdict = judge, gpu, Verdict
        self.attention = exercises.load("attention").on("cuda")
        self.softmax, self.matmul = exercises.load("fused-softmax"), exercises.load("tiled-matmul")
        self.load_folder = exercises.load_folder
        judge.warm("torch")
        self.device = gpu.found()[0]
        self.before = gpu.state(self.device.board)
        self.compiler = shutil.which("gcc") or shutil.which("clang")

    def run(self) -> None:
        """Run all."""
        import numpy as np
        import torch

        figures = self.check.figures
        figures["GPU"] = f"{self.device.model}, driver {self.device.driver}, {self.device.memory_mib} MiB"
        figures["versions"] = (
            f"Python {platform.python_version()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}, "
            f"NumPy {np.__version__}"
        )
        faults = self.before.faults() + self.before.throttled
        self.check.say("health", ", ".join(faults) or "the driver tells of no fault", ok=not faults)
        self.clean("cleaned")
        for step in (self.times, self.right, self.bad_input, self.truth, self.tricks, self.wrong):
            step()
        self.clean("cleaned at the end")
        changes = self.gpu.state(self.device.board).changes(self.before)
        self.check.say("settings", ", ".join(changes) or "as they were", ok=not changes)

    # --- judging

    def judged(self, exercise: Any, source: bytes, *, timed: bool = False) -> tuple[Any, float, float]:
        """Judge; returns the report, seconds from the very beginning, and seconds since the sandbox was prepared."""
        began = time.monotonic()
        process = self.judge.start(exercise, engine="local")
        try:
            process.started()
            self.settle(process)
            prepared = time.monotonic()
            report = process.run(source, seed=self.judge.new_seed(), timed=timed)
            ended = time.monotonic()
        finally:
            process.close()
        return report, ended - began, ended - prepared

    @staticmethod
    def settle(process: Any) -> None:
        """Wait until the child stands ready, with the tests collected: it has nothing to do then but to wait."""
        stat = Path(f"/proc/{process._pid}/stat")
        before: list[str] = [""]
        now: list[str] = []
        while before != now:
            before = now
            time.sleep(SETTLED_SECONDS)
            now = stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]

    def expect(self, name: str, exercise: Any, source: bytes, wanted: str, *, timed: bool = False) -> Any:
        """Judge and see that the verdict is one of those wanted."""
        report, seconds, _ = self.judged(exercise, source, timed=timed)
        ok = report.verdict.value in wanted.split(" or ")
        failed = [f"{test.name}: {test.message}" for test in report.tests if test.verdict is not self.verdict.ACCEPTED]
        detail = "" if ok else f", where it should be {wanted}: {failed[:2]} {report.message} {report.log[-500:]}"
        self.check.say(name, f"{report.verdict} in {seconds:.1f} s{detail}", ok=ok)
        return report

    def clean(self, name: str) -> None:
        """Overwrite the GPU's memory and try it, as a worker does between judgings."""
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": self.device.id}
        began = time.monotonic()
        command = [sys.executable, "-I", "-B", str(ROOT / "worker" / "scrub.py")]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        seconds = time.monotonic() - began
        self.check.figures[f"{name}: memory overwritten, a kernel tried"] = f"{seconds:.2f} s"
        self.check.say(name, f"{(ran.stdout + ran.stderr).strip()} in {seconds:.2f} s", ok=ran.returncode == 0)

    # --- steps

    def times(self) -> None:
        """Judge attention without speed tests: from a fresh process, and from a prepared one."""
        source = self.attention.reference.read_bytes()
        found = [self.judged(self.attention, source) for _ in range(4)]
        ok = all(report.verdict is self.verdict.ACCEPTED for report, _, _ in found)
        fresh, prepared = (statistics.median(each[place] for each in found) for place in (1, 2))
        waited = 2 * SETTLED_SECONDS  # what `settle` has waited in vain
        self.check.figures["attention on CUDA, fresh process"] = f"{fresh - waited:.2f} to {fresh:.2f} s"
        self.check.figures["attention on CUDA, prepared process"] = f"{prepared:.2f} s"
        self.check.say("attention, fresh process", f"{fresh:.2f} s", ok=ok and fresh - waited < FRESH_SECONDS)
        self.check.say("attention, prepared process", f"{prepared:.2f} s", ok=prepared < PREPARED_SECONDS)

    def right(self) -> None:
        """Judge references with their speed tests, and every right solution, kernels included."""
        for exercise in (self.attention, self.softmax, self.matmul):
            if self.check.has(40, f"the reference of {exercise.name}"):
                source = exercise.reference.read_bytes()
                report = self.expect(f"{exercise.name}, reference", exercise, source, "accepted", timed=True)
                self.note_speed(exercise.name, report)
            for path in sorted((ROOT / "tests/solutions" / exercise.name).glob("*.py")):
                kernel = "import triton" in path.read_text(encoding="utf-8")
                name = f"{exercise.name}, {path.stem}"
                if kernel and (self.compiler is None or importlib.util.find_spec("triton") is None):
                    self.check.left_out.append(f"{name}: Triton or a C compiler is missing")
                elif self.check.has(40, name):
                    report = self.expect(name, exercise, path.read_bytes(), "accepted", timed=kernel)
                    self.note_speed(name, report)

    def note_speed(self, name: str, report: Any) -> None:
        """Keep what was timed."""
        for speed in (speed for test in report.tests for speed in test.speed):
            low, high = speed.ratio_interval
            self.check.figures[f"{name}, {speed.call}: times the reference"] = (
                f"{speed.ratio:.3g} ({low:.3g} to {high:.3g}, {speed.pairs} pairs, {1e3 * speed.seconds[-1]:.3g} ms)"
            )

    def bad_input(self) -> None:
        """Judge what must not pass, and after what breaks a context or the memory, something right."""
        for path in sorted((ROOT / "tests/gpu/attacks").glob("*.py")):
            verdict = re.search(r"^Verdict: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            if path.stem == "burner" or verdict is None or not self.check.has(30, path.stem):
                continue
            self.expect(path.stem, self.softmax, path.read_bytes(), verdict[1])
            if path.stem in ("endless_kernel", "illegal_access", "out_of_memory"):
                source = self.softmax.reference.read_bytes()
                self.expect(f"the next after {path.stem}", self.softmax, source, "accepted")
        if self.check.has(20, "TF32 inside"):
            tf32 = b"import torch\ntorch.backends.cuda.matmul.allow_tf32 = True\n" + self.matmul.reference.read_bytes()
            self.expect("TF32 inside", self.matmul, tf32, "wrong_answer")

    def small(self) -> Any:
        """Return attention with one test of its answer, and one of its speed forward."""
        folder = self.folder / "exercises" / "attention"
        shutil.copytree(self.attention.folder, folder, ignore=shutil.ignore_patterns("wrong"), dirs_exist_ok=True)
        (folder / "hidden_tests.py").write_text(_TRUTH_TESTS, encoding="utf-8")
        reference = self.folder / "reference" / "attention.py"
        reference.parent.mkdir(exist_ok=True)
        shutil.copyfile(self.attention.reference, reference)
        return self.load_folder(folder).on("cuda").without_policy()

    def ratios(self, exercise: Any, source: bytes, number: int, name: str) -> Iterator[float]:
        """Judge so often, as far as there is time, and yield the ratios that were charged."""
        for _ in range(number):
            if not self.check.has(15, f"one more judging of {name}"):
                return
            report, _, _ = self.judged(exercise, source, timed=True)
            speeds = [speed for test in report.tests for speed in test.speed]
            if not speeds:
                self.check.say(name, f"{report.verdict}: {report.message} {report.log[-500:]}", ok=False)
                return
            yield speeds[0].ratio

    def truth(self) -> None:
        """Compare the outside clock's factor with device events', and see how much it varies."""
        exercise = self.small()
        ran = subprocess.run([sys.executable, "-c", _EVENTS, str(ROOT)], capture_output=True, text=True, check=False)
        if ran.returncode:
            self.check.say("device events", ran.stderr[-500:], ok=False)
            return
        reference, fused = json.loads(ran.stdout)
        events = reference / fused
        found = list(self.ratios(exercise, _FUSED, JUDGINGS, "PyTorch's own attention"))
        if not found:
            return
        factor = 1 / statistics.median(found)
        off = abs(factor / events - 1)
        spread = max(abs(each * factor - 1) for each in found)
        self.check.figures["PyTorch's attention: factor by the judge's clock, by events"] = (
            f"{factor:.3g}, {events:.3g}"
        )
        self.check.figures[f"charged ratio over {len(found)} judgings: largest distance from the median"] = (
            f"{spread:.1%}"
        )
        self.check.say("the clock tells the truth", f"{factor:.3g} times as fast; events: {events:.3g}", ok=off < TRUTH)
        self.check.say(f"the ratio of {len(found)} judgings", f"within {spread:.1%}", ok=spread < SPREAD)

    def tricks(self) -> None:
        """See what a trick gains over the same work without it."""
        honest = list(self.ratios(self.softmax, self.softmax.reference.read_bytes(), 3, "an honest file"))
        for name in ("still_computing", "patched_synchronize", "burner"):
            source = (ROOT / "tests/gpu/attacks" / f"{name}.py").read_bytes()
            found = list(self.ratios(self.softmax, source, 1, name)) if honest else []
            if found:
                gain = 1 - found[0] / statistics.median(honest)
                self.check.figures[f"what {name} gains"] = f"{gain:.1%}"
                self.check.say(f"what {name} gains", f"{gain:.1%}", ok=gain < TRICK)

    def wrong(self) -> None:
        """Judge wrong files, as many as there is time for: each is caught by the tests that it names."""
        for exercise in (self.matmul, self.softmax, self.attention):
            for wrong in exercise.wrong:
                name = f"{exercise.name}, wrong/{wrong.name}"
                if not self.check.has(20, name):
                    continue
                slow = "test_speed" in wrong.caught_by
                report, seconds, _ = self.judged(exercise, wrong.source, timed=slow)
                passed = {test.name for test in report.tests if test.verdict is self.verdict.ACCEPTED}
                missed = set(wrong.caught_by) & passed
                ok = not missed and report.verdict not in (self.verdict.ACCEPTED, self.verdict.INTERNAL_ERROR)
                self.check.say(name, f"{report.verdict} in {seconds:.1f} s {report.log[-300:]}", ok=ok)


if __name__ == "__main__":
    sys.exit(main())
