"""The sandboxes of one judging.

A session opens a sandbox, replaces it after a crash or time-out (a bounded number of times), keeps account of the time
that the submission takes (never of the judge's own), and remembers the requests of the running test, so that they can
be put to the exercise's `wrong/` files as well.
"""

import ast
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from grader import wire
from grader.callbacks import answer_callback, callbacks_in
from grader.engine import Engine, Kind, Process
from grader.errors import OurFault
from grader.exercise import Exercise, Policy
from grader.failures import Failures
from grader.sandbox import Broken, Sandbox
from grader.verdict import Rejected, Verdict
from grader.wire import Callback

MAX_REPLACEMENTS = 3


@dataclass(frozen=True)
class Request:
    """One request of the running test, with the answer that came back, unless the sandbox broke."""

    header: dict[str, Any]
    values: dict[str, Any]
    answer: Any = None
    broken: bool = False


@dataclass
class Session:
    """The sandboxes of one judging."""

    exercise: Exercise
    engine: Engine
    words: Failures
    transcript: list[Request] = field(default_factory=list)
    incident: Rejected | None = None
    calls: int = 0
    opened: int = 0
    seconds: float = 0.0
    """Wall time spent in calls since the file was first loaded: what `judging_seconds` limits."""
    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    printed: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    unusable: Rejected | None = None
    trouble: str = ""
    """What ended a sandbox from outside, or kept it from starting: the judging has to be repeated."""
    callbacks: dict[int, Callback] = field(default_factory=dict)
    timing: bool = False
    """Whether calls are timed: they count against no budget but the call's own, and are not remembered."""
    took: float = 0.0
    """Seconds of the exchanges since somebody set it to 0."""
    _sandbox: Sandbox | None = None
    _left: Sandbox | None = None
    """A sandbox that has no more to do, and is still to be ended."""
    _loaded: bool = False
    _first: bool = False
    _last_verdict: Verdict = Verdict.RUNTIME_ERROR

    def open(self, process: Process | None = None) -> None:
        """Take a started process, or start one; its libraries load while the judge goes on."""
        kind, limits = self.exercise.kind, self.exercise.limits
        self._sandbox = Sandbox(process or self.engine.start(kind, limits), kind, limits, self.exercise.policy)
        self.opened += 1

    def take(self, sandbox: Sandbox) -> None:
        """Take a sandbox that does not know its limits yet; raises OurFault where it does not get ready."""
        self._sandbox = sandbox
        self.opened += 1
        sandbox.assign(self.exercise.limits, self.exercise.policy)
        with booting(sandbox, self.engine, self.exercise.kind):
            sandbox.ready()

    def load(self) -> None:
        """Have the sandbox run the student's file. Raises Rejected; then no test can run."""
        try:
            if self._sandbox is None:
                self.open()
            sandbox = self._sandbox
            assert sandbox is not None  # noqa: S101 - for the type checker
            sandbox.ready()
        except (Broken, OurFault) as error:
            self._account()
            self.trouble = f"{error} {getattr(error, 'cause', '')}".strip()
            self.unusable = Rejected("The sandbox did not start.", Verdict.INTERNAL_ERROR)
            raise self.unusable from error
        self.versions = sandbox.versions
        limit = self.exercise.limits.import_seconds
        header = {"op": "load", "interface": _interface(self.exercise)}
        try:
            with self._clock():
                reply = sandbox.call(header, self._until(limit), source=self.words.source)
        except Broken as broken:
            self._account()
            self._note(broken)
            raise self.words.broken_import(broken, late=self.out_of_time) from broken
        if isinstance(reply, wire.Failed):
            self._keep_to_policy(reply)
            raise self.words.import_failed(reply)
        self._loaded = True

    def begin(self) -> None:
        """Prepare for the next test: a live sandbox, no objects and no arguments of the test before."""
        self.transcript.clear()
        self.callbacks.clear()
        self.incident = None
        if self.unusable is not None:
            raise self.unusable
        if not self._loaded:
            if self.opened > MAX_REPLACEMENTS:
                self.unusable = Rejected("Not run: your file stopped the sandbox too often.", self._last_verdict)
                raise self.unusable
            self.load()
        self._first = True

    def afresh(self) -> None:
        """Let the sandbox forget objects and arguments before the next request."""
        self._first = True

    def cpu_time(self) -> float:
        """Return the sandbox's processor time so far; NaN where it is not known."""
        return self._sandbox.cpu_seconds() if self._sandbox is not None else float("nan")

    def ask(self, where: str, header: dict[str, Any], **values: Any) -> Any:
        """Send a request within the call's deadline; raises Rejected for whatever goes wrong over there."""
        sandbox = self._sandbox
        if sandbox is None or not self._loaded:
            raise self.incident or Rejected("The sandbox had ended.", Verdict.RUNTIME_ERROR)
        self.calls += header["op"] == "call"
        self.callbacks.update((callback.id, callback) for callback in callbacks_in(values))
        callbacks = self.callbacks  # an object may keep a function it was made with, and call it later
        answer = (lambda *args: answer_callback(callbacks, *args)) if callbacks else None
        try:
            with self._clock():
                sent = {**header, "first": True} if self._first else header
                self._first = False
                until = self._until(self.exercise.limits.call_seconds)
                reply = sandbox.call(sent, until, answer, timed=self.timing, **values)
                self.took += sandbox.took if self.timing else 0.0
        except Broken as broken:
            self._loaded = False
            self._account()
            self._note(broken)
            self.transcript.append(Request(header, values, broken=True))
            self._last_verdict = broken.verdict
            self.incident = self.words.broken(where, broken, late=self.out_of_time)
            raise self.incident from broken
        if not self.timing:
            self.transcript.append(Request(header, values, reply))
        if isinstance(reply, wire.Failed):
            self._keep_to_policy(reply)
            raise self.words.failed(where, reply)
        return reply if self.words.disclose else self.words.without_names(reply)

    def close(self, *, leave: bool = False) -> None:
        """End the sandbox. A violation of the policy or bytes that nobody asked for, found now, still count.

        With `leave` it may live on until `end`: nothing that it does then is heard.
        """
        if self._loaded and self.exercise.policy != Policy():
            self._flush()
        sandbox = self._sandbox
        if sandbox is not None and sandbox.alive:
            if self._loaded and not sandbox.quiet():
                self.unusable = Rejected("Your file sent bytes that nobody had asked for.", Verdict.PROTOCOL_VIOLATION)
            self._account(leave=leave)
        self._loaded = False

    def end(self) -> None:
        """End what `close` has left. Raises OurFault where that fails."""
        sandbox, self._left = self._left, None
        if sandbox is not None:
            sandbox.close()

    def _flush(self) -> None:
        """Ask whether the policy was kept to the end; to leave that unanswered is no way out."""
        assert self._sandbox is not None  # noqa: S101 - for the type checker
        self.unusable = Rejected("Your file left the judge's last question unanswered.", Verdict.PROTOCOL_VIOLATION)
        try:
            reply = self._sandbox.call({"op": "flush"}, time.monotonic() + self.exercise.limits.call_seconds)
            if isinstance(reply, wire.Failed):
                self._keep_to_policy(reply)
            else:
                self.unusable = None
        except Rejected:
            return  # noted by what raised it
        except Broken as broken:
            if self._note(broken):
                self.unusable = self.words.broken("", broken)

    def _note(self, broken: Broken) -> bool:
        """Keep what was not the submission's doing."""
        if broken.verdict is Verdict.INTERNAL_ERROR:
            self.trouble = broken.message
        return bool(self.trouble)

    def _keep_to_policy(self, failed: wire.Failed) -> None:
        """Raise Rejected for a violation of the policy, and let the file be called no more."""
        if failed.kind in ("policy", "tampered"):
            self._loaded = False
            self._account()
            self.unusable = self.words.violation(failed)
            raise self.unusable

    @property
    def out_of_time(self) -> bool:
        """Whether the submission has used up the time for the whole judging."""
        return self.seconds >= self.exercise.limits.judging_seconds

    def _until(self, seconds: float) -> float:
        if self.timing:
            return time.monotonic() + seconds
        return time.monotonic() + min(seconds, max(0.0, self.exercise.limits.judging_seconds - self.seconds))

    @contextmanager
    def _clock(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            if not self.timing:
                self.seconds += time.monotonic() - started

    def _account(self, *, leave: bool = False) -> None:
        if self._sandbox is not None:
            spent = self._sandbox.spent() if leave else None
            if spent is None:
                ended = self._sandbox.close()
                spent = ended.cpu_seconds, ended.peak_memory_mib
            else:
                self._left = self._sandbox
            self.cpu_seconds += spent[0]
            self.peak_memory_mib = max(self.peak_memory_mib, spent[1])
            self.printed += self._sandbox.printed
            self._sandbox = None


@contextmanager
def booting(sandbox: Sandbox, engine: Engine, kind: Kind) -> Iterator[None]:
    """Raise OurFault, with the reason where the engine finds one, for a sandbox that breaks before its first load."""
    try:
        yield
    except Broken as broken:
        engine.check(kind)
        cause = f"{broken.message} {sandbox.printed}".strip()
        hint = "see `grader doctor`"
        raise OurFault("E4101", "the sandbox could not be started", cause=cause, hint=hint) from broken


def _interface(exercise: Exercise) -> list[dict[str, Any]]:
    """Say for each name how the judge will call it: required arguments by position, the others by keyword."""

    def entry(name: str, signature: str, *, is_class: bool = False) -> dict[str, Any]:
        positional, keywords = call_form(signature)
        return {"name": name, "positional": positional, "keywords": keywords, "is_class": is_class}

    wanted = [entry(function.name, function.signature) for function in exercise.functions]
    for cls in exercise.classes:
        wanted.append(entry(cls.name, cls.signature, is_class=True))
        wanted += [entry(f"{cls.name}.{method.name}", method.signature) for method in cls.methods]
    return wanted


def call_form(signature: str) -> tuple[int, list[str]]:
    """Return how many arguments a signature requires, and the names of its options."""
    lambda_ = ast.parse(f"lambda {signature[1:-1]}: 0", mode="eval").body
    assert isinstance(lambda_, ast.Lambda)  # noqa: S101 - what was parsed
    arguments = lambda_.args
    names = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
    required = len(names) - len(arguments.defaults)
    return required, names[required:] + [argument.arg for argument in arguments.kwonlyargs]
