"""Judge one submission: a trusted child process runs the exercise's tests and calls the submission in a sandbox.

    start(exercise)     fork; the child starts a sandbox and imports what it needs while the parent goes on
    process.run(...)    the child reads the source, has the sandbox load it, runs the tests with pytest, reports
    process.close()     nothing of it is left

A child may be forked ahead (`grader/pool.py`): it has its sandbox load the libraries, and waits to be told an exercise.

Accepted means that every test of the suite was collected, ran, and passed; nothing else does. Exit codes,
missing outcomes and skipped tests are never a pass.
"""

import contextlib
import fcntl
import functools
import gc
import importlib
import logging
import os
import pickle
import secrets
import select
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from grader import __version__
from grader.engine import LONGEST_WAIT, Engine, Kind, Process, choose
from grader.errors import GraderError, OurFault, UsageError
from grader.exercise import Exercise, Limits
from grader.job import Done, Job, Phase, Refused, Started, Task, Warned
from grader.report import Environment, Report, Usage
from grader.slot import Slots
from grader.verdict import Verdict

_BOOT_SECONDS = 60.0
_SPARE_SECONDS = 30.0
_REAP_SECONDS = 20.0

Message = Warned | Started | Refused | Phase | Done
_MESSAGES = msgspec.msgpack.Decoder(Message)
_TRIES = 3
_LENGTH = 4
_PIPE_BYTES = 1 << 20
"""Room for an exercise and a submission, so that who says them need not wait until they are heard."""
log = logging.getLogger(__name__)


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
    task = Task(exercise, suite)
    return JudgeProcess(exercise.kind, exercise.limits, engine, isolated=isolated, task=task, at_end=at_end)


class _Gone(OurFault):
    """The judge's child ended, or hung, without a word."""


class JudgeProcess:
    """The parent's end of one judging."""

    def __init__(
        self,
        kind: Kind,
        limits: Limits,
        engine: str | Slots,
        *,
        isolated: bool,
        task: Task | None = None,
        at_end: Callable[[], None] = lambda: None,
        leave: Callable[["JudgeProcess"], None] | None = None,
    ) -> None:
        """Fork the child. Without a task it waits for `assign`, no longer than `engine.LONGEST_WAIT`.

        `leave` is given a process that is closed when it has reported, and calls `end` when it likes.
        """
        self.kind, self.limits = kind, limits
        self._task = task
        self._asked = engine
        self._isolated = isolated
        self._at_end, self._leave = at_end, leave
        self.margins: dict[str, tuple[float, float]] = {}
        self._open = False
        self._fork()

    def _fork(self) -> None:
        job_out, job_in = os.pipe()
        with contextlib.suppress(OSError):  # this user's share of memory for pipes is taken
            fcntl.fcntl(job_in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        report_out, report_in = os.pipe()
        parent = os.getpid()
        self._ahead = self._task is None
        """Whether it was forked before the task was known, so that what failed may be old; a new one then decides."""
        try:
            with _undisturbed() as signals:
                self._pid = os.fork()
                if self._pid == 0:
                    os.close(job_in)
                    os.close(report_out)
                    _child(_Line(job_out, report_in, parent, self._task), self, signals)
                os.close(job_out)
                os.close(report_in)
                self._job, self._report = job_in, report_out
                self._received = bytearray()
                self._messages: deque[Message] = deque()
                self._hung_up = False
                self._open = True
                self._finished = False
                self._engine = ""
        except BaseException:  # a signal that came meanwhile
            self.close()
            raise

    def _anew(self) -> None:
        """Begin again, with nothing of what there was."""
        self._end()
        if isinstance(self._asked, Slots):  # whatever ended that one
            self._asked = self._asked.name
        self._fork()

    def assign(self, exercise: Exercise, suite: str = "hidden") -> None:
        """Say what it has waited for."""
        self._task = Task(exercise, suite)
        try:
            self._write(pickle.dumps(self._task))
        except BrokenPipeError:
            self._anew()

    def waits(self) -> bool:
        """Tell whether it can be assigned an exercise; it has ended where its sandbox did, or it waited too long."""
        while not self._hung_up and select.select([self._report], [], [], 0)[0]:
            self._take()
        return not self._hung_up and not any(isinstance(message, Refused) for message in self._messages)

    def settle(self) -> None:
        """Wait until it is warm, or has ended."""
        while self.waits() and not self.is_warm():
            select.select([self._report], [], [])

    def is_warm(self) -> bool:
        """Tell whether its sandbox has the libraries."""
        return self.waits() and any(isinstance(message, Started) for message in self._messages)

    def started(self, warn: Callable[[str], None] | None = None) -> str:
        """Wait until the sandbox's process was started; returns the engine's name.

        Raises OurFault or UsageError where this machine cannot judge as asked: nothing was begun then. `warn` is told
        what the person should know, for example that `auto` found no engine that isolates.
        """
        try:
            return self._wait(warn)
        except (OurFault, UsageError):
            if not self._ahead:
                raise
            self._anew()
            return self._wait(warn)

    def _wait(self, warn: Callable[[str], None] | None) -> str:
        deadline = time.monotonic() + _BOOT_SECONDS
        while not self._engine:
            match self._next(deadline):
                case Warned(text=text) if warn is not None:
                    warn(text)
                case Started(engine=engine):
                    self._engine = engine
                case Refused() as refused:
                    raise _error(refused)
                case str() as cause:
                    raise _Gone("E4101", "the sandbox could not be started", cause=cause, hint="see `grader doctor`")
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
            except (OurFault, UsageError) as error:
                if not (self._ahead or isinstance(error, _Gone)):
                    raise
                done = self._fault(job.seed, 0.0, error.cause, lost=self._ahead)
            if not (done.lost and left):
                break
            self._anew()
        self.margins = done.margins
        return msgspec.structs.replace(done.report, seed=seed)

    def _run(self, job: Job, on_phase: Callable[[str], None] | None) -> Done:
        assert self._task is not None  # noqa: S101 - for the type checker
        started = time.monotonic()
        deadline = started + _BOOT_SECONDS + self._task.exercise.limits.judging_seconds + _SPARE_SECONDS
        try:
            self._write(msgspec.msgpack.encode(job))
        except BrokenPipeError as error:
            text = "the judge's process ended before it was given its job"
            raise _Gone("E4101", "the judge could not be started", cause=text) from error
        log, begun = "", False
        while not log:
            match self._next(deadline):
                case Done() as done:
                    self._finished = True
                    return done
                case Refused() as refused:
                    raise _error(refused)
                case Phase(text=text):
                    begun = True
                    if on_phase is not None:
                        on_phase(text)
                case str() as text if self._ahead and not begun:
                    raise _Gone("E4101", "the judge ended while it waited", cause=text)
                case str() as text:
                    log = text
        return self._fault(job.seed, time.monotonic() - started, log)

    def _fault(self, seed: str, seconds: float, log: str, *, lost: bool = False) -> Done:
        assert self._task is not None  # noqa: S101 - for the type checker
        return Done(fault(*self._task, self._engine, seed, seconds, log), {}, lost)

    def _write(self, content: bytes) -> None:
        """Send the child a message. Raises BrokenPipeError where it has ended."""
        frame = memoryview(len(content).to_bytes(_LENGTH, "little") + content)
        while frame:
            frame = frame[os.write(self._job, frame) :]

    def _next(self, deadline: float) -> "Message | str":
        """Return the child's next message, or a text that says why there is none."""
        while not self._messages:
            if self._hung_up:
                return "the judge's process ended without a report"
            ready, _, _ = select.select([self._report], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return "the judge's process did not report in time"
            self._take()
        return self._messages.popleft()

    def _take(self) -> None:
        """Take what has arrived, at least a byte or the end."""
        chunk = os.read(self._report, 1 << 16)
        self._hung_up = not chunk
        self._received += chunk
        while _LENGTH < (end := _LENGTH + int.from_bytes(self._received[:_LENGTH], "little")) <= len(self._received):
            self._messages.append(_MESSAGES.decode(self._received[_LENGTH:end]))
            del self._received[:end]

    def close(self) -> None:
        """End the child, and with it the sandbox; safe to call twice."""
        leave, self._leave = self._leave, None
        if leave is not None and self._open and self._finished:
            leave(self)
        else:
            self.end()

    def end(self) -> None:
        """Wait until the child has ended."""
        self._end()
        at_end, self._at_end = self._at_end, lambda: None
        at_end()

    def stop(self) -> None:
        """Have a child end that has not reported; `close` waits for it."""
        if self._open and not self._finished:
            os.kill(self._pid, signal.SIGTERM)

    def _end(self) -> None:
        if not self._open:
            return
        self.stop()
        self._open = False
        os.close(self._job)
        in_time = _reap(self._pid)
        if self._finished:
            self._tell_what_is_left(in_time=in_time)
        os.close(self._report)

    def _tell_what_is_left(self, *, in_time: bool) -> None:
        """Log what the child, which has reported, could not end: the report stands, and somebody has to look."""
        while not self._hung_up:
            self._take()
        for message in self._messages:
            if isinstance(message, Refused):
                log.error("%s: %s; %s", message.what, message.cause, message.hint)
        if not in_time:
            log.error("a sandbox was not ended within %g seconds; the next start looks for it", _REAP_SECONDS)


def _refused(error: BaseException, code: str, what: str) -> Refused:
    """Return what is told of an exception: its own words, or ours with the traceback."""
    if isinstance(error, GraderError):
        return Refused(error.code, error.what, error.cause, error.hint)
    return Refused(code, what, "".join(traceback.format_exception(error)), "see `grader doctor`")


def _error(refused: Refused) -> OurFault | UsageError:
    error = UsageError if refused.code.startswith("E2") else OurFault
    return error(refused.code, refused.what, cause=refused.cause, hint=refused.hint)


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


def _reap(pid: int) -> bool:
    """Let the child end by itself (it has nothing left to do but to end its sandbox), then make it; False for that."""
    limit = time.monotonic() + _REAP_SECONDS
    while time.monotonic() < limit:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


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


class _Line:
    """The child's end of the two pipes; `task`: what it was forked for, if that was known."""

    def __init__(self, job: int, report: int, parent: int, task: Task | None) -> None:
        """Take the descriptors and the parent's number."""
        self.job, self.report = job, report
        self._parent = parent
        self.task = task
        self.told = self.begun = False

    def send(self, message: Message) -> None:
        """Tell the parent."""
        content = msgspec.msgpack.encode(message)
        frame = memoryview(len(content).to_bytes(_LENGTH, "little") + content)
        while frame:
            frame = frame[os.write(self.report, frame) :]

    def ready(self, engine: str) -> None:
        """Say, once, that the sandbox waits."""
        if not self.told:
            self.told = True
            self.send(Started(engine))

    def wait(self, process: Process, rests: Callable[[], bool]) -> Task:
        """Return the task as soon as it is told. Raises OurFault after `LONGEST_WAIT`, or where the sandbox has ended.

        Until then this process does not die with its parent: it hears its end, and has the time to clear away.
        """
        until = time.monotonic() + LONGEST_WAIT
        watched = [self.job, process.answers, process.prints]
        while True:
            heard = select.select(watched, [], [], max(0.0, until - time.monotonic()))[0]
            if not heard:
                raise OurFault("E4101", "the sandbox has waited too long")
            if process.answers in heard or (process.prints in heard and not rests()):
                raise OurFault("E4101", "the sandbox has ended")
            if self.job in heard:
                break
        self.task = Task(*pickle.loads(self._receive()))  # noqa: S301 - the parent's own
        self.die_with_parent()
        return self.task

    def die_with_parent(self) -> None:
        """Ask for the parent's end to be ours."""
        from grader import local  # noqa: PLC0415 - loads ctypes: only the child needs it

        local.die_with_parent()
        if os.getppid() != self._parent:
            raise _called_off()

    def receive(self) -> Job:
        """Wait for the job; from here on there is a report."""
        gc.freeze()  # all is imported, and none of it is garbage
        gc.enable()
        job = msgspec.msgpack.decode(self._receive(), type=Job)
        self.begun = True
        return job

    def _receive(self) -> bytes:
        return self._read(int.from_bytes(self._read(_LENGTH), "little"))

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = os.read(self.job, size - len(content))
            if not part:
                raise _called_off()
            content += part
        return content


def _called_off() -> OurFault:
    return OurFault("E4103", "the judging was called off")


def _child(line: _Line, made: JudgeProcess, signals: set[int]) -> NoReturn:
    """Warm up, judge, report, and leave without running anything of the parent's; only `signals` wait on."""
    status = 1
    end: Callable[[], object] = bool
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
        one_thread()
        gc.disable()  # until `receive`
        asked, isolated = made._asked, made._isolated  # noqa: SLF001 - this is its other half
        slots = asked.slots if isinstance(asked, Slots) else ()
        _keep_only(line.job, line.report, *(slot.control.fileno() for slot in slots))
        from grader import local  # noqa: PLC0415 - loads ctypes: only the child needs it

        local.adopt_orphans()
        process: Process | None = None

        def stop(_number: int, _frame: object) -> None:
            if process is not None:
                process.kill()
            local.end_descendants()
            os._exit(1)

        signal.signal(signal.SIGTERM, stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        try:
            if line.task is not None:
                line.die_with_parent()
            engine = _engine(asked, made.kind, lambda text: line.send(Warned(text)), isolated=isolated)
            if engine.waits:
                threading.Thread(target=importlib.import_module, args=("grader.suite",)).start()
            process = engine.start(made.kind, made.limits)
            last, end = _judge(line, made.kind, engine, process)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is ours, and must be reported
            text = traceback.format_exc()
            with contextlib.suppress(OurFault):
                if process is not None:
                    process.kill()
            if line.begun and line.task is not None:
                last = Done(fault(*line.task, engine.name, "", 0.0, text), {})
            else:
                last = _refused(error, "E4101", "the judge could not be started")
        line.send(last)
        try:
            end()
        except BaseException as error:  # noqa: BLE001 - as above
            line.send(_refused(error, "E4102", "a sandbox could not be ended"))
        status = 0
    finally:
        os._exit(status)


def _judge(line: _Line, kind: Kind, engine: Engine, process: Process) -> tuple[Message, Callable[[], None]]:
    """Judge in the sandbox of a started process; returns the report, and what has to be called after it is sent."""
    from grader import sandbox as sandboxes  # noqa: PLC0415 - NumPy and pytest load while the sandbox starts
    from grader import session as sessions  # noqa: PLC0415 - likewise
    from grader import suite as suites  # noqa: PLC0415 - likewise

    sandbox = sandboxes.Sandbox(process, kind, None)
    suites.prepare(kind)
    if line.task is None:
        with sessions.booting(sandbox, engine, kind):
            sandbox.warm()
        line.ready(engine.name)
        task = line.wait(process, sandbox.rests)
        if not process.is_current():
            raise OurFault("E4101", "the sandbox was started from an image that has been replaced")
    else:
        task = line.task
    return suites.run(
        task,
        engine,
        process,
        sandbox,
        lambda: line.ready(engine.name),
        line.receive,
        lambda text: line.send(Phase(text)),
    )


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


def compile_mistakes(exercise: Exercise) -> None:
    """Compile, in a process that is warm, what explains failures; where that was done, it takes no time."""
    from grader import mistakes  # noqa: PLC0415 - loads NumPy

    mistakes.preload(exercise)


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
