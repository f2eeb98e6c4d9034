"""Explain a failure by a known mistake: the `wrong/` file whose answers coincide with the submission's.

The requests of the failed test are put again, in the judge's own process, to the reference and to each wrong file
(all trusted). A wrong file explains the failure if each of its answers is much nearer to the submission's than
the reference's is, and one of them differs from the reference's. No explanation is better than a false one: a crash
explains itself by its line, and answers that are nothing but zeros or NaN, which could come from anywhere, count only
where the same mistake explains another test.
"""

import functools
import json
import signal
import sys
import time
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from grader import wire
from grader.callbacks import answer_callback, callbacks_in
from grader.exercise import Exercise, Wrong
from grader.harness import FILENAME, Harness
from grader.oracle import UNIT_ROUNDOFF, dtype_name, is_tensor, to_numpy
from grader.returns import Scalar, Unsupported
from grader.session import Request

_BUDGET_SECONDS = 2.0
_FILE_SECONDS = 0.25
_AGAIN_SECONDS = 0.01
_MOST_MISSES = 4
_NEAR = 0.02
_ULPS = 64
_MAX_PAYLOAD = 1 << 30
_SLOW: set[Path] = set()
_Frame = tuple[dict[int, wire.Callback], dict[str, Any], bytes]
"""The functions that a request passes, its header, its payload."""


class Coinciding(list[Wrong]):
    """The wrong files that coincide in one test; `telling` unless the answers are nothing but zeros or NaN."""

    telling = False


class TooLong(BaseException):
    """The time for explanations is up. Not an Exception, so that no trusted file takes it for one of its own."""


def coinciding(
    exercise: Exercise,
    transcript: Sequence[Request],
    misses: Counter[str] | None = None,
    seconds: float = _BUDGET_SECONDS,
) -> Coinciding:
    """Return the wrong files that answer the requests of a failed test as the submission did.

    `misses` counts, over the failed tests of a judging, how often a file did not; after four, and no success before,
    it is tried no more: whoever makes its mistake, and no other, fails as it does in every test.
    After `seconds` the search ends with what it has; a file that took a quarter of a second is not tried again in
    this process.
    """
    if not transcript or any(request.broken or isinstance(request.answer, wire.Failed) for request in transcript):
        return Coinciding()
    misses = Counter() if misses is None else misses
    found = Coinciding()
    found.telling = any(_tells(request.answer) for request in transcript)
    until = time.monotonic() + seconds
    frames = [_frame(request.header, request.values) for request in transcript]
    try:
        with _alarm(until), np.errstate(all="ignore"):
            right = list(_replay(exercise.reference.read_bytes(), frames, until))
    except TooLong:
        return found
    for wrong in exercise.wrong:
        if wrong.path in _SLOW or misses[wrong.name] >= _MOST_MISSES:
            continue
        last = min(until, time.monotonic() + _FILE_SECONDS)
        try:
            with _alarm(last), np.errstate(all="ignore"):
                if _explains(transcript, _replay(wrong.source, frames, last), right):
                    found.append(wrong)
                    misses[wrong.name] = -sys.maxsize
                else:
                    misses[wrong.name] += 1
        except TooLong:
            if last == until:
                break
            _SLOW.add(wrong.path)
    return found


def preload(exercise: Exercise) -> None:
    """Compile the files that explain failures, for all children that are forked from here."""
    for source in (exercise.reference.read_bytes(), *(wrong.source for wrong in exercise.wrong)):
        with suppress(SyntaxError):
            _compiled(source)


def choose(candidates: Mapping[str, Sequence[Wrong]]) -> dict[str, str]:
    """Choose one explanation for each failed test (name -> wrong files that coincide there).

    Several mistakes can give the same answers in one test; the one that coincides in most of the failed tests is the
    likelier, and among those the one that says it is caught by the test.
    """
    sure = {wrong.name for found in candidates.values() if getattr(found, "telling", True) for wrong in found}
    likely = {test: [wrong for wrong in found if wrong.name in sure] for test, found in candidates.items()}
    counts = Counter(wrong.name for found in likely.values() for wrong in found)

    def likelihood(wrong: Wrong, test: str) -> tuple[int, int]:
        named = sum(name in wrong.caught_by for name in likely)
        return counts[wrong.name] - len(set(wrong.caught_by) - set(likely)), named + (test in wrong.caught_by)

    return {
        test: max(found, key=lambda wrong: likelihood(wrong, test)).explanation
        for test, found in likely.items()
        if found
    }


def _replay(source: bytes, frames: Sequence[_Frame], until: float) -> Iterator[Any]:
    """Put the requests to a trusted file in this process, and give its answers, as far as they are asked for."""
    callee = InProcess(source)
    for frame in frames:
        answer = callee.put(frame)
        if time.monotonic() > until:
            raise TooLong  # what the alarm broke off inside the harness is an answer like any other
        yield answer


class InProcess:
    """The harness in the judge's own process, for files of the exercise itself."""

    def __init__(self, source: bytes) -> None:
        """Load a file; speak the same frames as with a sandbox, so that both answer alike."""
        self._answers: list[bytes] = []
        self._callbacks: dict[int, wire.Callback] = {}
        self._harness = Harness(self._take, self._called)
        self._harness.module = sys.modules["submission"] = types.ModuleType("submission")
        with suppress(Exception, SystemExit):  # its calls fail, as they would in a sandbox
            exec(_compiled(source), self._harness.module.__dict__)  # noqa: S102 - the exercise's own

    def ask(self, header: dict[str, Any], values: dict[str, Any]) -> Any:
        """Carry out one request and return its decoded value or `wire.Failed`."""
        return self.put(_frame(header, values))

    def put(self, frame: _Frame) -> Any:
        """Carry out one encoded request, likewise."""
        callbacks, header, content = frame
        self._callbacks.update(callbacks)
        self._harness.handle(header, memoryview(content))
        reply, payload = self._last()
        return reply if isinstance(reply, wire.Failed) else wire.decode(reply, payload)

    def _take(self, header: dict[str, Any], payload: list[memoryview]) -> None:
        text = json.dumps(header).encode()
        self._answers.append(len(text).to_bytes(4, "little") + text + b"".join(payload))

    def _last(self) -> tuple[wire.Reply, memoryview]:
        frame = memoryview(self._answers.pop())
        parser = wire.Parser("", _MAX_PAYLOAD)
        whole = False
        while not whole:
            view = parser.view()
            count = min(len(view), len(frame))
            view[:count] = frame[:count]
            frame = frame[count:]
            whole = parser.advance(count)
        return parser.result()

    def _called(self) -> tuple[dict[str, Any], memoryview]:
        reply, payload = self._last()
        if not isinstance(reply, wire.Called):
            raise TypeError("the harness asks for a request only while it calls a function")
        header, content = _parse(answer_callback(self._callbacks, reply.id, wire.decode(reply, payload), ""))
        return header, memoryview(content)


def _frame(header: dict[str, Any], values: dict[str, Any]) -> _Frame:
    callbacks = {callback.id: callback for callback in callbacks_in(values)}
    return callbacks, *_parse(wire.encode({**header, "nonce": ""}, **values))


@functools.cache
def _compiled(source: bytes) -> types.CodeType:
    return compile(source, FILENAME, "exec", dont_inherit=True)


def _parse(buffers: list[memoryview]) -> tuple[dict[str, Any], bytes]:
    frame = b"".join(buffers)
    end = 4 + int.from_bytes(frame[:4], "little")
    header: dict[str, Any] = json.loads(frame[4:end])
    return header, frame[end:]


@contextmanager
def _alarm(until: float) -> Iterator[None]:
    """Break off, once, a trusted file that takes too long; not in a `__del__`, where Python swallows what is raised."""

    def ring(_number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
                return
            frame = frame.f_back
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(1e-3, until - time.monotonic()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _explains(transcript: Sequence[Request], wrong: Iterator[Any], right: Sequence[Any]) -> bool:
    """Tell whether `wrong` answers as the submission did, and not all as is right; stops at the first difference."""
    differs = False
    for request, other, wanted in zip(transcript, wrong, right, strict=True):
        match = _match(request.answer, other, wanted)
        if match is None:
            return False
        differs = differs or match
    return differs


def _tells(answer: Any) -> bool:
    """Tell whether programs that give this answer have something in common: more than zeros alone, or NaN alone."""
    if isinstance(answer, list | tuple | dict):
        return any(_tells(part) for part in (answer.values() if isinstance(answer, dict) else answer))
    array = _as_array(answer)
    if array is None:
        return isinstance(answer, str)
    return not (np.all(array == 0) or np.all(np.isnan(array)))


def _match(theirs: Any, wrong: Any, right: Any) -> bool | None:
    """Compare one answer: None if `wrong` is not what the submission said, else whether it differs from `right`."""
    if isinstance(theirs, dict):
        if not isinstance(wrong, dict) or wrong.keys() != theirs.keys():
            return None
        rights = list(map(right.get, theirs)) if isinstance(right, dict) and right.keys() == theirs.keys() else None
        return _match(list(theirs.values()), list(map(wrong.get, theirs)), rights)
    if isinstance(theirs, list | tuple):
        if not isinstance(wrong, list | tuple) or len(wrong) != len(theirs):
            return None
        same_length = isinstance(right, list | tuple) and len(right) == len(theirs)
        rights = right if same_length else [None] * len(theirs)
        parts = [_match(*three) for three in zip(theirs, wrong, rights, strict=True)]
        return None if any(part is None for part in parts) else not same_length or any(parts)
    array = _as_array(theirs)
    if array is None:
        return type(theirs) is not type(right) if _plainly_equal(theirs, wrong) else None
    return _match_arrays(array, _as_array(wrong), _as_array(right), _unit(theirs), (theirs, wrong, right))


def _match_arrays(
    theirs: np.ndarray, wrong: np.ndarray | None, right: np.ndarray | None, unit: float, values: tuple[Any, ...]
) -> bool | None:
    if wrong is None or wrong.shape != theirs.shape or _form(values[0]) != _form(values[1]):
        return None
    if right is None or right.shape != theirs.shape or _form(values[1]) != _form(values[2]):
        return True if _distance(theirs, wrong) <= _ULPS * unit * _size(wrong) else None
    floor = _ULPS * unit * max(_size(right), _size(wrong))
    apart = _distance(theirs, wrong)
    if not (np.isfinite(apart) and apart <= max(_NEAR * _distance(theirs, right), floor)):
        return None
    return _distance(wrong, right) > floor


def _as_array(value: Any) -> np.ndarray | None:
    if isinstance(value, Scalar):
        value = value.array
    is_number = isinstance(value, np.ndarray | int | float) or is_tensor(value)
    return np.asarray(to_numpy(value), dtype=np.float64) if is_number and not isinstance(value, bool) else None


def _form(value: Any) -> str:
    """Return the dtype, or "" for a Python number, which stands for any."""
    inner = value.array if isinstance(value, Scalar) else value
    return dtype_name(inner) if hasattr(inner, "dtype") else ""


def _unit(value: Any) -> float:
    return UNIT_ROUNDOFF.get(_form(value), UNIT_ROUNDOFF["float64"])


def _size(array: np.ndarray) -> float:
    return float(np.max(np.abs(array), initial=0.0, where=np.isfinite(array)))


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference; infinite where only one of the two is finite."""
    finite = np.isfinite(one) & np.isfinite(other)
    alike = finite | (one == other) | (np.isnan(one) & np.isnan(other))
    return float(np.max(np.abs(one - other), initial=0.0, where=finite)) if np.all(alike) else float("inf")


def _plainly_equal(one: Any, other: Any) -> bool:
    if isinstance(one, wire.Handle | Unsupported):
        return type(one) is type(other)
    return type(one) is type(other) and bool(one == other)
