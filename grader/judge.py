"""Judge one submission: a trusted child process runs the exercise's tests and calls the submission in a sandbox.

    start(exercise)     fork; the child starts a sandbox and imports what it needs while the parent goes on
    process.run(...)    the child reads the source, has the sandbox load it, runs the tests with pytest, reports
    process.close()     nothing of it is left

Accepted means that every test of the suite was collected, ran, and passed; nothing else does. Exit codes,
missing outcomes and skipped tests are never a pass.
"""

import os
import secrets
import select
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from grader import __version__
from grader.engine import engine as find_engine
from grader.errors import OurFault
from grader.exercise import Exercise
from grader.job import Done, Job, Phase
from grader.report import Environment, Report, Usage
from grader.verdict import Verdict

_BOOT_SECONDS = 60.0
_SPARE_SECONDS = 30.0
_REAP_SECONDS = 5.0


_MESSAGES = msgspec.msgpack.Decoder(Phase | Done)
_LENGTH = 4


def new_seed() -> str:
    """Return a fresh random seed (128 bits, hex)."""
    return secrets.token_hex(16)


def judge(exercise: Exercise, source: bytes, *, seed: str = "", suite: str = "hidden", secret: bytes = b"") -> Report:
    """Judge `source` in a process of its own and return the report; see `JudgeProcess.run`."""
    process = start(exercise, suite=suite)
    try:
        return process.run(source, seed=seed or new_seed(), secret=secret)
    finally:
        process.close()


def start(exercise: Exercise, *, suite: str = "hidden", engine: str = "local") -> "JudgeProcess":
    """Fork the judge's child. Call it before threads are started; the child warms up at once."""
    find_engine(engine)
    job_out, job_in = os.pipe()
    report_out, report_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(job_in)
        os.close(report_out)
        _child(exercise, suite, engine, job_out, report_in)
    os.close(job_out)
    os.close(report_in)
    return JudgeProcess(exercise, suite, engine, pid, job_in, report_out)


class JudgeProcess:
    """The parent's end of one judging."""

    def __init__(self, exercise: Exercise, suite: str, engine: str, pid: int, job: int, report: int) -> None:
        """Take over the child and the two pipes to it."""
        self._exercise = exercise
        self._suite = suite
        self._engine = engine
        self._pid = pid
        self._job = job
        self._report = report
        self._open = True
        self._finished = False
        self.margins: dict[str, tuple[float, float]] = {}

    def run(
        self,
        source: bytes,
        *,
        seed: str,
        secret: bytes = b"",
        places: Sequence[str] = (),
        on_phase: Callable[[str], None] | None = None,
    ) -> Report:
        """Judge `source` and return the report; a fault of ours is a report with `internal_error` and a log."""
        started = time.monotonic()
        deadline = started + _BOOT_SECONDS + self._exercise.limits.judging_seconds + _SPARE_SECONDS
        job, self._job = self._job, -1
        try:
            with os.fdopen(job, "wb") as pipe:
                pipe.write(msgspec.msgpack.encode(Job(source, seed, secret, list(places))))
        except BrokenPipeError:
            return self._fault(seed, started, "the judge's process ended before it was given its job")
        received = bytearray()
        while True:
            ready, _, _ = select.select([self._report], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return self._fault(seed, started, "the judge's process did not report in time")
            chunk = os.read(self._report, 1 << 16)
            if not chunk:
                return self._fault(seed, started, "the judge's process ended without a report")
            received += chunk
            while len(received) >= (end := _LENGTH + int.from_bytes(received[:_LENGTH], "little")) > _LENGTH:
                message = _MESSAGES.decode(received[_LENGTH:end])
                del received[:end]
                if isinstance(message, Done):
                    self.margins = message.margins
                    self._finished = True
                    return msgspec.structs.replace(message.report, seed=seed)
                if on_phase is not None:
                    on_phase(message.text)

    def close(self) -> None:
        """End the child, and with it the sandbox; safe to call twice."""
        if not self._open:
            return
        self._open = False
        if not self._finished:
            os.kill(self._pid, signal.SIGTERM)
        if self._job >= 0:
            os.close(self._job)
        os.close(self._report)
        _reap(self._pid)

    def _fault(self, seed: str, started: float, log: str) -> Report:
        return fault(self._exercise, self._suite, self._engine, seed, time.monotonic() - started, log)


def _reap(pid: int) -> None:
    """Let the child end by itself (it has nothing left to do but to end its sandbox), then make it."""
    limit = time.monotonic() + _REAP_SECONDS
    while time.monotonic() < limit:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def fault(exercise: Exercise, suite: str, engine: str, seed: str, seconds: float, log: str) -> Report:
    """Return the report of a judging that failed through a fault of ours."""
    return Report(
        exercise=exercise.name,
        exercise_version=exercise.version,
        suite=suite,
        verdict=Verdict.INTERNAL_ERROR,
        score=0.0,
        max_score=0.0,
        message="The grader failed; this is our fault and uses no attempt.",
        tests=[],
        usage=Usage(wall_seconds=seconds),
        environment=Environment(grader=__version__, engine=engine),
        seed=seed,
        log=log,
    )


def _child(exercise: Exercise, suite: str, engine: str, job: int, report: int) -> None:
    """Warm up, judge, report, and leave without running anything of the parent's."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
        one_thread()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        _keep_only(job, report)
        from grader import local  # noqa: PLC0415 - loads ctypes: only the child needs it

        local.die_with_parent()
        local.adopt_orphans()

        def stop(_number: int, _frame: object) -> None:
            local.end_descendants()
            os._exit(1)

        signal.signal(signal.SIGTERM, stop)
        process = find_engine(engine).start(exercise.kind, exercise.limits)
        try:
            from grader import suite as suites  # noqa: PLC0415 - NumPy and pytest load while the sandbox starts

            def tell(text: str) -> None:
                _send(report, Phase(text))

            done = suites.run(exercise, suite, engine, process, lambda: _receive(job), tell)
        except BaseException:  # noqa: BLE001 - whatever it is, it is ours, and must be reported
            process.kill()
            log = traceback.format_exc()
            done = Done(fault(exercise, suite, engine, "", 0.0, log), {})
        _send(report, done)
        status = 0
    finally:
        os._exit(status)


def one_thread() -> None:
    """Have NumPy, which is not imported yet, compute in one thread: replays agree, and judges share the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _keep_only(*descriptors: int) -> None:
    """Close what the parent had open (a database, sockets): none of it is the judge's business."""
    last = 2
    for descriptor in sorted(descriptors):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))


def _receive(job: int) -> Job:
    with os.fdopen(job, "rb") as pipe:
        content = pipe.read()
    if not content:
        raise OurFault("E4103", "the judging was called off")
    return msgspec.msgpack.decode(content, type=Job)


def _send(report: int, message: Any) -> None:
    content = msgspec.msgpack.encode(message)
    frame = len(content).to_bytes(_LENGTH, "little") + content
    while frame:
        frame = frame[os.write(report, frame) :]
