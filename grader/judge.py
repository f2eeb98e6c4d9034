"""Judge one submission: a trusted child process runs the exercise's tests and calls the submission in a sandbox.

    start(exercise)     fork; the child starts a sandbox and imports what it needs while the parent goes on
    process.run(...)    the child reads the source, has the sandbox load it, runs the tests with pytest, reports
    process.close()     nothing of it is left

Accepted means that every test of the suite was collected, ran, and passed; nothing else does. Exit codes,
missing outcomes and skipped tests are never a pass.
"""

import contextlib
import functools
import gc
import importlib
import os
import secrets
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from grader import __version__
from grader.engine import Engine, Kind, Process, choose
from grader.errors import GraderError, OurFault, UsageError
from grader.exercise import Exercise
from grader.job import Done, Job, Phase, Refused, Started, Warned
from grader.report import Environment, Report, Usage
from grader.slot import Slots
from grader.verdict import Verdict

_BOOT_SECONDS = 60.0
_SPARE_SECONDS = 30.0
_REAP_SECONDS = 5.0


Message = Warned | Started | Refused | Phase | Done
_MESSAGES = msgspec.msgpack.Decoder(Message)
_TRIES = 3
_LENGTH = 4


def new_seed() -> str:
    """Return a fresh random seed (128 bits, hex)."""
    return secrets.token_hex(16)


def judge(
    exercise: Exercise,
    source: bytes,
    *,
    seed: str = "",
    suite: str = "hidden",
    secret: bytes = b"",
    engine: str = "local",
) -> Report:
    """Judge `source` in a process of its own and return the report; see `JudgeProcess.run`."""
    process = start(exercise, suite=suite, engine=engine)
    try:
        return process.run(source, seed=seed or new_seed(), secret=secret)
    finally:
        process.close()


def start(
    exercise: Exercise,
    *,
    suite: str = "hidden",
    engine: str | Slots = "local",
    isolated: bool = False,
    at_end: Callable[[], None] = lambda: None,
) -> "JudgeProcess":
    """Fork the judge's child. Call it before threads are started; the child warms up at once.

    `engine` is a name of `grader.engine.NAMES`, or slots to fork from; with `isolated` one that does not isolate is
    refused. `at_end` is called once all of the judging has ended.
    """
    return JudgeProcess(exercise, suite, engine, isolated=isolated, at_end=at_end)


class _Gone(OurFault):
    """The judge's child ended, or hung, without a word."""


class JudgeProcess:
    """The parent's end of one judging."""

    def __init__(
        self, exercise: Exercise, suite: str, engine: str | Slots, *, isolated: bool, at_end: Callable[[], None]
    ) -> None:
        """Fork the child."""
        self._exercise = exercise
        self._suite = suite
        self._asked = engine
        self._isolated = isolated
        self._at_end = at_end
        self.margins: dict[str, tuple[float, float]] = {}
        self._open = False
        self._fork()

    def _fork(self) -> None:
        job_out, job_in = os.pipe()
        report_out, report_in = os.pipe()
        try:
            with _undisturbed() as signals:
                self._pid = os.fork()
                if self._pid == 0:
                    os.close(job_in)
                    os.close(report_out)
                    _child(self._exercise, self._suite, self._asked, self._isolated, job_out, report_in, signals)
                os.close(job_out)
                os.close(report_in)
                self._job, self._report = job_in, report_out
                self._received = bytearray()
                self._open = True
                self._finished = False
                self._engine = ""
        except BaseException:  # a signal that came meanwhile
            self.close()
            raise

    def started(self, warn: Callable[[str], None] | None = None) -> str:
        """Wait until the sandbox's process was started; returns the engine's name.

        Raises OurFault or UsageError where this machine cannot judge as asked: nothing was begun then. `warn` is told
        what the person should know, for example that `auto` found no engine that isolates.
        """
        deadline = time.monotonic() + _BOOT_SECONDS
        while not self._engine:
            match self._next(deadline):
                case Warned(text=text) if warn is not None:
                    warn(text)
                case Started(engine=engine):
                    self._engine = engine
                case Refused(code=code, what=what, cause=cause, hint=hint):
                    error = UsageError if code.startswith("E2") else OurFault
                    raise error(code, what, cause=cause, hint=hint)
                case str() as log:
                    raise _Gone("E4101", "the sandbox could not be started", cause=log, hint="see `grader doctor`")
        return self._engine

    def run(
        self,
        source: bytes,
        *,
        seed: str,
        secret: bytes = b"",
        places: Sequence[str] = (),
        on_phase: Callable[[str], None] | None = None,
        timed: bool = True,
    ) -> Report:
        """Judge `source` and return the report; a fault of ours is a report with `internal_error` and a log.

        Not `timed`, speed limits pass unmeasured: such a report is for the gate alone.

        A judging whose sandbox was ended from outside is begun again. Raises what `started` raises.
        """
        job = Job(source, seed, secret, list(places), timed)
        for left in reversed(range(_TRIES)):
            try:
                self.started()
                done = self._run(job, on_phase)
            except _Gone as gone:
                done = self._fault(job.seed, 0.0, gone.cause)
            if not (done.lost and left):
                break
            self._end()
            if isinstance(self._asked, Slots):  # whatever ended that one
                self._asked = self._asked.name
            self._fork()
        self.margins = done.margins
        return msgspec.structs.replace(done.report, seed=seed)

    def _run(self, job: Job, on_phase: Callable[[str], None] | None) -> Done:
        started = time.monotonic()
        deadline = started + _BOOT_SECONDS + self._exercise.limits.judging_seconds + _SPARE_SECONDS
        descriptor, self._job = self._job, -1
        log = ""
        try:
            with os.fdopen(descriptor, "wb") as pipe:
                pipe.write(msgspec.msgpack.encode(job))
        except BrokenPipeError:
            log = "the judge's process ended before it was given its job"
        while not log:
            match self._next(deadline):
                case Done() as done:
                    self._finished = True
                    return done
                case Phase(text=text) if on_phase is not None:
                    on_phase(text)
                case str() as text:
                    log = text
        return self._fault(job.seed, time.monotonic() - started, log)

    def _fault(self, seed: str, seconds: float, log: str) -> Done:
        return Done(fault(self._exercise, self._suite, self._engine, seed, seconds, log), {})

    def _next(self, deadline: float) -> "Message | str":
        """Return the child's next message, or a text that says why there is none."""
        while True:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH], "little")
            if _LENGTH < end <= len(self._received):
                break
            ready, _, _ = select.select([self._report], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return "the judge's process did not report in time"
            chunk = os.read(self._report, 1 << 16)
            if not chunk:
                return "the judge's process ended without a report"
            self._received += chunk
        message: Message = _MESSAGES.decode(self._received[_LENGTH:end])
        del self._received[:end]
        return message

    def close(self) -> None:
        """End the child, and with it the sandbox; safe to call twice."""
        self._end()
        at_end, self._at_end = self._at_end, lambda: None
        at_end()

    def _end(self) -> None:
        if not self._open:
            return
        self._open = False
        if not self._finished:
            os.kill(self._pid, signal.SIGTERM)
        if self._job >= 0:
            os.close(self._job)
        os.close(self._report)
        _reap(self._pid)


@contextlib.contextmanager
def _undisturbed() -> Iterator[set[int]]:
    """Let signals wait; gives those that waited before. What a handler raised in the midst of a fork would be lost.

    Libraries have Python call them there (logging does), and it only prints what comes of that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield {int(each) for each in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _child(
    exercise: Exercise,
    suite: str,
    asked: str | Slots,
    isolated: bool,  # noqa: FBT001
    job: int,
    report: int,
    signals: set[int],
) -> None:
    """Warm up, judge, report, and leave without running anything of the parent's; only `signals` wait on."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
        one_thread()
        gc.disable()  # until `_receive`
        slots = asked.slots if isinstance(asked, Slots) else ()
        _keep_only(job, report, *(slot.control.fileno() for slot in slots))
        from grader import local  # noqa: PLC0415 - loads ctypes: only the child needs it

        local.die_with_parent()
        local.adopt_orphans()
        process: Process | None = None
        started = False

        def stop(_number: int, _frame: object) -> None:
            if process is not None:
                process.kill()
            local.end_descendants()
            os._exit(1)

        signal.signal(signal.SIGTERM, stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        try:
            engine = _engine(asked, exercise.kind, lambda text: _send(report, Warned(text)), isolated=isolated)
            if engine.waits:
                threading.Thread(target=importlib.import_module, args=("grader.suite",)).start()
            process = engine.start(exercise.kind, exercise.limits)
            from grader import suite as suites  # noqa: PLC0415 - NumPy and pytest load while the sandbox starts

            def ready() -> None:
                nonlocal started
                started = True
                _send(report, Started(engine.name))

            def tell(text: str) -> None:
                _send(report, Phase(text))

            last: Message = suites.run(exercise, suite, engine, process, ready, lambda: _receive(job), tell)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is ours, and must be reported
            if process is not None:
                process.kill()
            log = traceback.format_exc()
            if started:
                last = Done(fault(exercise, suite, engine.name, "", 0.0, log), {})
            elif isinstance(error, GraderError):
                last = Refused(error.code, error.what, error.cause, error.hint)
            else:
                last = Refused("E4101", "the judge could not be started", log, "see `grader doctor`")
        _send(report, last)
        status = 0
    finally:
        os._exit(status)


def _engine(asked: str | Slots, kind: Kind, warn: Callable[[str], None], *, isolated: bool) -> Engine:
    return asked if isinstance(asked, Slots) else choose(asked, kind, warn, isolated=isolated)


@functools.cache
def warm(kind: Kind) -> None:
    """Import what a judging of `kind` needs into this process, so that its children have it already."""
    one_thread()
    importlib.import_module("grader.suite")
    if kind == "torch":
        import torch  # noqa: PLC0415 - only where an exercise needs it

        torch.set_num_threads(1)
    from grader.harness import use_large_pages  # noqa: PLC0415 - loads NumPy

    use_large_pages()


def collect(exercise: Exercise, suite: str) -> None:
    """Import the tests into this process, which is warm, so that its children have their cases already."""
    from grader import cases  # noqa: PLC0415 - loads pytest

    cases.tests(exercise, suite)
    cases.collect(exercise, suite)


def one_thread() -> None:
    """Have NumPy, which is not imported yet, compute in one thread: replays agree, and judges share the cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _keep_only(*descriptors: int) -> None:
    """Put the null device in the place of all else the parent had open (a database, sockets): it is not for the judge.

    Their numbers stay taken: libraries may close theirs again in every process that is forked, as libuv does with the
    pipe it handles signals by, and that would be the end of a pipe to the sandbox that had come to such a number.
    """
    null = os.open(os.devnull, os.O_RDWR)
    standard = {0, 1, 2}
    for descriptor in standard | {int(path.name) for path in Path("/proc/self/fd").iterdir()}:
        if descriptor not in (null, *descriptors):
            os.dup2(null, descriptor, inheritable=descriptor in standard)


def _receive(job: int) -> Job:
    gc.freeze()  # all is imported, and none of it is garbage
    gc.enable()
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
