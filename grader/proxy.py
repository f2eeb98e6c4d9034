"""What hidden tests see as `submission`: names that turn into requests to the sandbox.

`Session` owns the sandboxes of one judging: it opens one, replaces it after a crash or time-out (a bounded
number of times), keeps the deadline of the whole judging, and remembers the requests of the running test, so
that they can be put to the exercise's `wrong/` files as well.
"""

import ast
import builtins
import re
import resource
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from grader import wire
from grader.engine import Engine, Process
from grader.exercise import Class, Exercise, Function
from grader.oracle import Expected
from grader.returns import Mismatch, Returns, Scalar, Unsupported, conform, parse_returns
from grader.sandbox import Broken, Sandbox
from grader.verdict import Rejected, Verdict
from grader.wire import Callback, Handle

MAX_REPLACEMENTS = 3
MAX_VALUES = 20_000  # in nested lists: what grader/harness.py answers with at most
_MAX_TEXT = 300
_CALLBACK_MEMORY_BYTES = 512 << 20


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
    source: str = ""
    disclose: bool = False
    places: Sequence[str] = ()
    deadline: float = float("inf")
    transcript: list[Request] = field(default_factory=list)
    incident: Rejected | None = None
    calls: int = 0
    opened: int = 0
    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    printed: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    unusable: Rejected | None = None
    callbacks: dict[int, Callback] = field(default_factory=dict)
    _sandbox: Sandbox | None = None
    _loaded: bool = False

    def open(self, process: Process | None = None) -> None:
        """Take a started process, or start one; its libraries load while the judge goes on."""
        kind, limits = self.exercise.kind, self.exercise.limits
        self._sandbox = Sandbox(process or self.engine.start(kind, limits), kind, limits)
        self.opened += 1

    def load(self) -> None:
        """Have the sandbox run the student's file. Raises Rejected; then no test can run."""
        if self._sandbox is None:
            self.open()
        sandbox = self._sandbox
        assert sandbox is not None  # noqa: S101 - for the type checker
        sandbox.ready()
        self.versions = sandbox.versions
        limit = self.exercise.limits.import_seconds
        header = {"op": "load", "interface": _interface(self.exercise)}
        try:
            reply = sandbox.call(header, self._until(limit), source=self.source)
        except Broken as broken:
            self._account()
            raise self._broken_import(broken) from broken
        if isinstance(reply, wire.Failed):
            raise self._import_failure(reply)
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
        self.ask("", {"op": "begin"})

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
            reply = sandbox.call(header, self._until(self.exercise.limits.call_seconds), answer, **values)
        except Broken as broken:
            self._loaded = False
            self._account()
            self.transcript.append(Request(header, values, broken=True))
            self.incident = self._broken(where, broken)
            raise self.incident from broken
        if header["op"] != "begin":
            self.transcript.append(Request(header, values, reply))
        if isinstance(reply, wire.Failed):
            raise self._failure(where or "Your file, between two calls,", reply)
        return reply if self.disclose else self._without_names(reply)

    def _without_names(self, value: Any) -> Any:
        """Take out the names of types that a submission may have spelt with the numbers it was passed."""
        match value:
            case Unsupported(type_name=name):
                return Unsupported(name if self._tells_nothing(name) else "")
            case list() | tuple():
                return type(value)(self._without_names(part) for part in value)
            case dict():
                return {key: self._without_names(part) for key, part in value.items()}
        return value

    def _tells_nothing(self, name: str) -> bool:
        """Tell whether a type's name is Python's or a library's, or stands in the student's file."""
        prefix, of, dtype = name.partition("ndarray_of_")
        if of and prefix == "numpy.":
            return hasattr(np, dtype) or dtype == "object"  # strings have a dtype for each length
        if _resolves(name) or name == "int beyond 64 bits":
            return True
        return all(re.search(rf"\b{re.escape(part)}\b", self.source) for part in name.split("."))

    def close(self) -> None:
        """End the sandbox. Bytes that nobody asked for, found now, still count."""
        sandbox = self._sandbox
        if sandbox is not None and sandbox.alive:
            if self._loaded and not sandbox.quiet():
                self.unusable = Rejected("Your file sent bytes that nobody had asked for.", Verdict.PROTOCOL_VIOLATION)
            self._account()
        self._loaded = False

    @property
    def out_of_time(self) -> bool:
        """Whether the judging as a whole has used up its time."""
        return time.monotonic() >= self.deadline

    _last_verdict: Verdict = Verdict.RUNTIME_ERROR

    def _until(self, seconds: float) -> float:
        return min(time.monotonic() + seconds, self.deadline)

    def _account(self) -> None:
        if self._sandbox is not None:
            ended = self._sandbox.close()
            self.cpu_seconds += ended.cpu_seconds
            self.peak_memory_mib = max(self.peak_memory_mib, ended.peak_memory_mib)
            self.printed += self._sandbox.printed
            self._sandbox = None

    def _broken(self, where: str, broken: Broken) -> Rejected:
        self._last_verdict = broken.verdict
        if broken.verdict is Verdict.TIME_LIMIT_EXCEEDED:
            limits = self.exercise.limits
            if self.out_of_time:
                return Rejected(
                    f"All tests together took longer than {_seconds(limits.judging_seconds)}; "
                    f"{where or 'your file'} was running when the time was up.",
                    broken.verdict,
                )
            if not where:
                return Rejected("Your file did not let the next call begin.", broken.verdict)
            return Rejected(f"{where} did not return within {_seconds(limits.call_seconds)}.", broken.verdict)
        if not where:
            message = "your file" + broken.message.removeprefix("it")
            return Rejected(f"Between two calls, {message}.", broken.verdict)
        return Rejected(f"During {where}, {broken.message}.", broken.verdict)

    def _broken_import(self, broken: Broken) -> Rejected:
        if broken.verdict is Verdict.TIME_LIMIT_EXCEEDED and not self.out_of_time:
            limit = _seconds(self.exercise.limits.import_seconds)
            return Rejected(f"Importing your file took longer than {limit}.", broken.verdict)
        if broken.verdict is Verdict.TIME_LIMIT_EXCEEDED:
            return self._broken("the import of your file", broken)
        verdict = Verdict.IMPORT_ERROR if broken.verdict is Verdict.RUNTIME_ERROR else broken.verdict
        return Rejected(f"While your file was imported, {broken.message}.", verdict)

    def _at(self, line: int) -> str:
        """Say where a line of the source is: in a notebook, in which cell."""
        if not line:
            return ""
        return f" at {self.places[line - 1]}" if line <= len(self.places) else f" at line {line} of your file"

    def _failure(self, where: str, failed: wire.Failed) -> Rejected:
        at = self._at(failed.line)
        match failed.kind:
            case "memory":
                limit = self.exercise.limits.memory_mib
                return Rejected(
                    f"{where} needed more memory than the {limit} MiB allowed{at}.", Verdict.MEMORY_LIMIT_EXCEEDED
                )
            case "oversize":
                limit = self.exercise.limits.answer_mib
                return Rejected(
                    f"{where} returned more than {limit} MiB, or more than {MAX_VALUES:,} values in lists.",
                    Verdict.OUTPUT_LIMIT_EXCEEDED,
                )
            case "no_gradient":
                return Rejected(
                    f"The output of {where} is cut off from its inputs: autograd finds no path back. "
                    "Was it detached, or computed outside PyTorch?"
                )
            case "attribute":
                return Rejected(f"{where} does not exist.")
        name = wire.clean_name(failed.type)
        if name == "unknown" or not (self.disclose or self._tells_nothing(name)):
            name = "an exception"
        if name == "NotImplementedError":
            return Rejected(f"{where} is not written yet (NotImplementedError{at}).", Verdict.RUNTIME_ERROR)
        if name == "SystemExit":
            return Rejected(f"{where} called for the program's exit{at}.", Verdict.RUNTIME_ERROR)
        text = f": {clean(failed.text)}" if self.disclose and failed.text else ""
        return Rejected(f"{where} raised {name}{at}{text}.", Verdict.RUNTIME_ERROR)

    def _import_failure(self, failed: wire.Failed) -> Rejected:
        at = self._at(failed.line)
        match failed.kind:
            case "syntax":
                lines = re.split("\r\n|\r|\n", self.source)  # `splitlines` counts more than Python does
                shown = lines[failed.line - 1] if 0 < failed.line <= len(lines) else ""
                message = f"Your file is not valid Python{at}: {clean(failed.text)}."
                if shown.strip() and len(shown) <= _MAX_TEXT:
                    blank = "".join("\t" if char == "\t" else " " for char in shown[: max(failed.column - 1, 0)])
                    message += f"\n    {clean(shown, keep_tabs=True)}\n    {blank}^"
                return Rejected(message, Verdict.IMPORT_ERROR)
            case "missing":
                return Rejected(
                    f"Your file must define {_declaration(self.exercise, failed.name)}, and does not.",
                    Verdict.IMPORT_ERROR,
                )
            case "signature":
                return Rejected(
                    f"It must be possible to call {_declaration(self.exercise, failed.name)}; "
                    f"yours takes {clean(failed.text)}.",
                    Verdict.IMPORT_ERROR,
                )
            case "memory":
                limit = self.exercise.limits.memory_mib
                return Rejected(
                    f"Importing your file needed more memory than the {limit} MiB allowed{at}.",
                    Verdict.MEMORY_LIMIT_EXCEEDED,
                )
        name = wire.clean_name(failed.type)
        if name == "SystemExit":
            return Rejected(f"Importing your file called for the program's exit{at}.", Verdict.IMPORT_ERROR)
        text = f": {clean(failed.text)}" if failed.text else ""
        return Rejected(f"Importing your file raised {name}{at}{text}.", Verdict.IMPORT_ERROR)


_TYPES = {kind.__name__ for kind in vars(types).values() if isinstance(kind, type)}


def _resolves(name: str) -> bool:
    """Tell whether a type of this name is Python's, NumPy's or PyTorch's own."""
    if hasattr(builtins, name) or name in _TYPES:
        return True
    first, *parts = name.split(".")
    found = sys.modules.get(first) if first in ("numpy", "torch") else None
    if found is None:
        return any(hasattr(sys.modules.get(module), name) for module in ("numpy.exceptions", "numpy.linalg"))
    for part in parts:
        found = getattr(found, part, None)
    return found is not None


def _seconds(number: float) -> str:
    return f"{number:g} second{'' if number == 1 else 's'}"


def clean(text: str, *, keep_tabs: bool = False) -> str:
    """Make a text that came from a submission fit to show: printable, one line, short."""
    kept = "".join(char if char.isprintable() or (keep_tabs and char == "\t") else " " for char in text)
    return kept if keep_tabs else " ".join(kept.split())[:_MAX_TEXT].rstrip(".")


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


def _declaration(exercise: Exercise, name: str) -> str:
    """Write a declared name with its signature, the way a student writes it."""
    for function in exercise.functions:
        if function.name == name:
            return f"{name}{function.signature}"
    for cls in exercise.classes:
        if cls.name == name:
            return f"class {name}{cls.signature}"
        for method in cls.methods:
            if f"{cls.name}.{method.name}" == name:
                return f"{name}{method.signature}"
    return wire.clean_name(name)


def callbacks_in(value: Any) -> list[Callback]:
    """List the callbacks in nested arguments."""
    if isinstance(value, Callback):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [callback for part in parts for callback in callbacks_in(part)]


def answer_callback(callbacks: dict[int, Callback], number: int, arguments: Any, nonce: str) -> list[memoryview]:
    """Call the function that the submission asks for; what it does wrong with it comes back to it."""
    callback = callbacks.get(number)
    if callback is None or not isinstance(arguments, list):
        return wire.encode({"op": "raise", "nonce": nonce})
    callback.calls += 1
    try:
        with np.errstate(all="ignore"), _little_memory():
            value = callback.function(*[_unboxed(argument) for argument in arguments])
        return wire.encode({"op": "answer", "nonce": nonce}, value=_send(value))
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError):
        return wire.encode({"op": "raise", "nonce": nonce})


@contextmanager
def _little_memory() -> Iterator[None]:
    """Let this process take only so much more memory: a small argument of a strange shape can make a huge product."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    used = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [limit for limit in (used + _CALLBACK_MEMORY_BYTES, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _unboxed(value: Any) -> Any:
    """Give NumPy scalars that came over the wire their own type back."""
    if isinstance(value, Scalar):
        return value.array[()]
    if isinstance(value, list | tuple):
        return type(value)(_unboxed(part) for part in value)
    if isinstance(value, dict):
        return {key: _unboxed(part) for key, part in value.items()}
    return value


def _send(value: Any) -> Any:
    """Put a test's argument into the form that crosses."""
    if isinstance(value, Expected):
        return value.native
    if isinstance(value, Held | Remote):
        return value.handle
    if isinstance(value, list | tuple):
        return type(value)(_send(part) for part in value)
    if isinstance(value, dict):
        return {key: _send(part) for key, part in value.items()}
    is_function = callable(value) and not hasattr(value, "dtype") and not isinstance(value, Callback)
    return Callback(value) if is_function else value


class Held:
    """A value that lives in the sandbox; `fetch` gives its present content."""

    def __init__(self, session: Session, handle: Handle, kind: str) -> None:
        """Remember where it lives and whether it is an array or a tensor."""
        self.session = session
        self.handle = handle
        self._returns = parse_returns(kind)

    def fetch(self) -> Any:
        """Return a copy of what the sandbox holds now."""
        value = self.session.ask("an argument", {"op": "fetch", "handle": self.handle.id})
        return _conformed(value, self._returns, "an argument")


class Remote:
    """An object of a class the submission defines."""

    def __init__(self, session: Session, cls: Class, handle: Handle) -> None:
        """Know the class's declared methods and attributes."""
        self.session = session
        self.handle = handle
        self._cls = cls
        self._methods = {method.name: method for method in cls.methods}

    def __getattr__(self, name: str) -> Any:
        """Return a method to call, or fetch a declared attribute."""
        if name in self._methods:
            return RemoteFunction(self.session, self._methods[name], self)
        if name not in self._cls.attributes:
            raise AttributeError(f"exercise.toml declares no {self._cls.name}.{name}")
        where = f"{self._cls.name}.{name}"
        value = self.session.ask(where, {"op": "get", "handle": self.handle.id, "name": name})
        return _conformed(value, parse_returns(self._cls.attributes[name]), where)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give a torch module parameters and buffers; it takes their dtype."""
        where = f"{self._cls.name}.load_state_dict"
        self.session.ask(where, {"op": "load_state", "handle": self.handle.id}, state=_send(state))

    def state_dict(self) -> dict[str, Any]:
        """Return a torch module's parameters and buffers by name."""
        where = f"{self._cls.name}.state_dict"
        value = self.session.ask(where, {"op": "state", "handle": self.handle.id})
        state: dict[str, Any] = _conformed(value, parse_returns("{tensor}"), where)
        return state


class RemoteFunction:
    """A function of the submission, or a method of one of its objects."""

    def __init__(self, session: Session, function: Function, owner: Remote | None = None) -> None:
        """Know its name and what it returns."""
        self._session = session
        self._returns = parse_returns(function.returns)
        self._target: dict[str, Any] = {"name": function.name}
        self.where = function.name
        if owner is not None:
            self._target["handle"] = owner.handle.id
            self.where = f"{owner._cls.name}.{function.name}"  # noqa: SLF001 - its own kind

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in the sandbox; raises Rejected when it fails or answers with the wrong kind of thing."""
        value = self._ask(args, kwargs)
        return _conformed(value, self._returns, self.where)

    def record(self, *args: Any, **kwargs: Any) -> "Recording":
        """Call it with every floating tensor among the arguments as a leaf that requires grad."""
        value = self._ask(args, kwargs, record=True)
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], Handle)):  # noqa: PLR2004
            raise Rejected(f"{self.where} gave an answer that cannot be.", Verdict.PROTOCOL_VIOLATION)
        output = _conformed(value[0], self._returns, self.where)
        return Recording(self._session, self.where, output, value[1])

    def _ask(self, args: Sequence[Any], kwargs: dict[str, Any], **extra: Any) -> Any:
        header = {"op": "call", "target": self._target, **extra}
        return self._session.ask(self.where, header, args=_send(list(args)), kwargs=_send(kwargs))


class Recording:
    """A call whose graph the sandbox has kept: its output, and `backward`."""

    def __init__(self, session: Session, where: str, output: Any, handle: Handle) -> None:
        """Remember the call."""
        self._session = session
        self._where = where
        self._handle = handle
        self.output = output

    def backward(
        self, *cotangents: Any, module: Remote | None = None, parameters: Sequence[str] = ()
    ) -> tuple[Any, ...]:
        """Return the gradients of the leaves in the order of the arguments, or of a module's named parameters."""
        header: dict[str, Any] = {"op": "backward", "handle": self._handle.id}
        where = f"the gradient of {self._where}"
        if module is not None:
            header |= {"module": module.handle.id, "parameters": list(parameters)}
            where = "a parameter of your module" if len(parameters) != 1 else f"the parameter {parameters[0]}"
        value = self._session.ask(self._where if module is None else where, header, cotangents=_send(list(cotangents)))
        gradients: tuple[Any, ...] = _conformed(value, parse_returns("[tensor]"), where)
        return gradients


def _conformed(value: Any, returns: Returns, where: str) -> Any:
    try:
        return conform(value, returns, where)
    except Mismatch as mismatch:
        raise Rejected(f"{mismatch}.") from mismatch


class Submission:
    """What a hidden test gets as `submission`: the declared functions and classes, and `hold`."""

    def __init__(self, session: Session) -> None:
        """Look up names in the session's exercise."""
        self.session = session
        self._functions = {function.name: function for function in session.exercise.functions}
        self._classes = {cls.name: cls for cls in session.exercise.classes}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a declared function, or a class to be instantiated in the sandbox."""
        if name in self._functions:
            return RemoteFunction(self.session, self._functions[name])
        if name in self._classes:
            return self._constructor(self._classes[name])
        raise AttributeError(f"exercise.toml declares no {name}")

    def hold(self, value: Any) -> Held:
        """Put an array into the sandbox and keep it there, so that in-place changes can be seen."""
        sent = _send(value)
        answer = self.session.ask("an argument", {"op": "hold"}, value=sent)
        return Held(self.session, _handle(answer, "an argument"), "tensor" if hasattr(sent, "layout") else "array")

    def _constructor(self, cls: Class) -> Callable[..., Remote]:
        def construct(*args: Any, **kwargs: Any) -> Remote:
            header = {"op": "call", "target": {"name": cls.name}}
            answer = self.session.ask(cls.name, header, args=_send(list(args)), kwargs=_send(kwargs))
            return Remote(self.session, cls, _handle(answer, cls.name))

        return construct


def _handle(value: Any, where: str) -> Handle:
    if not isinstance(value, Handle):
        raise Rejected(f"{where} gave an answer that cannot be.", Verdict.PROTOCOL_VIOLATION)
    return value
