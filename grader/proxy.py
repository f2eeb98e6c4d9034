"""What hidden tests see as `submission`: names that turn into requests to the sandbox."""

from collections.abc import Callable, Sequence
from typing import Any

from grader.exercise import Class, Function
from grader.oracle import Expected
from grader.returns import Mismatch, Returns, conform, parse_returns
from grader.session import Session
from grader.verdict import Rejected, Verdict
from grader.wire import Callback, Handle


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
