"""Checkers: compare an answer with what the reference says, and say how it fails without saying what was hidden.

The tolerance is derived, not chosen for each exercise. With u the unit roundoff of the submission's dtype and, over
each row (last axis) of the wanted array, L what the reference loses in that dtype, R its response to half-ulp changes
of the inputs (`grader/oracle.py`), and S the row's largest value,

    tolerance = HONEST * max(L, R) + ULPS * 2u * S

An honest algorithm may add up in another order or keep other intermediates; its error is then a multiple of
max(L, R) that grows like the square root of the number of terms for random signs (Higham 2002, ch. 4). Half precision
inside a float32 answer loses 2^13 times u. HONEST = 64 lies near the geometric middle of 1 and 2^13: one power of ten
above what loops over a few hundred terms lose, two below what a narrower type loses. For 16-bit dtypes there is no
narrower type to exclude and 64 ulps would be the answer itself: 8 and 4.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grader.oracle import UNIT_ROUNDOFF, Expected, dtype_name, is_tensor, plain, to_numpy
from grader.patterns import describe
from grader.proxy import RemoteFunction, Submission
from grader.verdict import Rejected, Verdict

__all__ = ["Callback", "assert_autograd", "assert_close", "assert_gradients", "assert_unchanged"]

from grader.wire import Callback

_WIDE = (64.0, 32.0)
_NARROW = (8.0, 4.0)
_TINY = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}
_PROJECTIONS = 2
_STEP = 1e-4
_FD_RELATIVE = 1e-6


class Margins:
    """The largest error/tolerance of passed comparisons and the smallest of failed ones, for `grader verify`."""

    largest_passed = 0.0
    smallest_failed = float("inf")

    @classmethod
    def note(cls, ratio: float, *, passed: bool) -> None:
        """Take note of one comparison."""
        if passed:
            cls.largest_passed = max(cls.largest_passed, ratio)
        else:
            cls.smallest_failed = min(cls.smallest_failed, ratio)


def tolerance(want: Expected) -> np.ndarray:
    """Return the allowed absolute error of each element of `want.want`."""
    honest, ulps = _NARROW if want.dtype in ("float16", "bfloat16") else _WIDE
    unit = UNIT_ROUNDOFF[want.dtype]
    finite = np.where(np.isfinite(want.want), np.abs(want.want), 0.0)
    scale = _over_rows(np.max, finite)
    loss = _over_rows(np.max, want.loss)
    response = _over_rows(np.max, want.response)
    # One row may be exact by luck: no row is held to less than what the median row loses, relative to its size.
    with np.errstate(all="ignore"):
        relative = np.where(scale > 0, loss / scale, 0.0)
    typical = float(np.median(relative)) if relative.size else 0.0
    loss = np.maximum(loss, typical * scale)
    return honest * np.maximum(loss, response) + ulps * 2 * unit * scale + ulps * _TINY[want.dtype]


def _over_rows(reduce: Callable[..., Any], array: np.ndarray) -> np.ndarray:
    if array.size == 0 or array.ndim == 0:
        return array
    return np.broadcast_to(reduce(array, axis=-1, keepdims=True), array.shape)


def assert_close(got: Any, want: Any, names: Sequence[str] | None = None) -> None:
    """Reject unless `got` has the shape and dtype of `want`, is finite where it is, and lies within the tolerance.

    want: what `reference` returned (an Expected or a tuple of them); in public tests an array, a number or nested
    lists of numbers, compared to 64 ulps of its row's largest value. names: what the parts are called.
    """
    if isinstance(want, Expected):
        _compare(got, want, names[0] if names else "The answer")
    elif isinstance(want, tuple) or (isinstance(want, list) and isinstance(got, tuple)):
        if not isinstance(got, tuple) or len(got) != len(want):
            count = len(got) if isinstance(got, tuple) else 1
            raise Rejected(f"{len(want)} values are expected; there are {count}.")
        for i, (part, wanted) in enumerate(zip(got, want, strict=True)):
            assert_close(part, wanted, [names[i] if names and i < len(names) else f"Part {i + 1}"])
    elif isinstance(want, np.ndarray | np.generic | bool | int | float | list) or is_tensor(want):
        _compare(got, _literal(got, want), names[0] if names else "The answer", disclose=True)
    else:
        raise TypeError(f"assert_close cannot compare with a {type(want).__name__}")


def _literal(got: Any, want: Any) -> Expected:
    """Make an Expected of a value written down in a public test."""
    array = to_numpy(want if hasattr(want, "dtype") else np.asarray(want))
    zero = np.zeros(array.shape)
    typed = hasattr(want, "dtype") and array.dtype.kind == "f"
    dtype = dtype_name(want) if typed else dtype_name(got) if hasattr(got, "dtype") else "float64"
    if dtype not in UNIT_ROUNDOFF:
        dtype = "float64"
    number = not hasattr(want, "dtype") and not isinstance(want, list)
    return Expected(array.astype(np.float64) if array.dtype.kind in "iu" and not typed else array,
                    want, dtype, zero, zero, scalar=number)  # fmt: skip


def _compare(got: Any, want: Expected, name: str, *, disclose: bool = False) -> None:
    _check_form(got, want, name)
    found = to_numpy(got)
    if want.want.dtype.kind != "f":
        wrong = found != want.want
        if np.any(wrong):
            raise Rejected(f"{name} is wrong in {describe(wrong)}.")
        return
    allowed = tolerance(want)
    finite = np.isfinite(want.want)
    if np.any(strange := finite & ~np.isfinite(found)):
        kind = "NaN" if np.any(np.isnan(found[strange])) else "infinite"
        raise Rejected(f"{name} is {kind} where it should be finite: in {describe(strange)}.")
    with np.errstate(all="ignore"):
        error = np.abs(found - want.want)
        within = np.where(finite, error <= allowed, (found == want.want) | (np.isnan(found) & np.isnan(want.want)))
        ratio = np.where(finite, error / allowed, np.where(within, 0.0, np.inf))
    passed = bool(np.all(within))
    Margins.note(float(np.max(ratio, initial=0.0)), passed=passed)
    if passed:
        return
    if np.any(~within & ~finite):
        raise Rejected(f"{name} is finite where it should not be: in {describe(~within & ~finite)}.")
    where = int(np.argmax(np.where(finite, ratio, -1.0)))
    shown = f" Expected {_spell(want.want)}, got {_spell(found)}." if disclose else ""
    raise Rejected(
        f"{name} is wrong: the largest error is {error.flat[where]:.2g} where {allowed.flat[where]:.2g} is allowed, "
        f"in {describe(~within, found, want.want, allowed)}.{shown}"
    )


def _spell(array: np.ndarray) -> str:
    return np.array2string(array, precision=6, threshold=24, separator=", ").replace("\n", "")


def _check_form(got: Any, want: Expected, name: str) -> None:
    """Check kind, shape and dtype."""
    if isinstance(got, bool | int | float) and not (want.scalar or want.want.ndim == 0):
        raise Rejected(f"{name} is a plain number; an array of shape {want.want.shape} is expected.")
    if not isinstance(got, bool | int | float | np.ndarray) and not is_tensor(got):
        raise Rejected(f"{name} is not an array.")
    shape = tuple(getattr(got, "shape", ()))
    if shape != want.want.shape:
        raise Rejected(f"{name} has the shape {shape}; {want.want.shape} is expected.")
    if want.want.size == 0:
        raise TypeError("a test compares an empty array, which proves nothing")
    dtype = dtype_name(got) if hasattr(got, "dtype") else ""
    wanted_kind = want.want.dtype.kind
    if wanted_kind == "f":
        if want.scalar:
            if dtype and dtype not in UNIT_ROUNDOFF:
                raise Rejected(f"{name} has the dtype {dtype}; a real floating-point number is expected.")
        elif dtype != want.dtype and (dtype or want.dtype != "float64"):
            raise Rejected(f"{name} has the dtype {dtype or 'float'}; {want.dtype} is expected, as in the input.")
    elif wanted_kind in "iu" and dtype and to_numpy(got).dtype.kind not in "iu":
        raise Rejected(f"{name} has the dtype {dtype}; an integer dtype is expected.")
    elif wanted_kind == "b" and dtype and dtype != "bool":
        raise Rejected(f"{name} has the dtype {dtype}; bool is expected.")


def assert_gradients(
    got: Any,
    want: Any,
    *,
    forward: Callable[..., Any],
    at: Sequence[Any],
    cotangent: Any,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
) -> None:
    """Reject unless the gradients `got` agree with `want`, and both with directional finite differences.

    got, want: one gradient, or a sequence with one for each array of `at`. forward: a float64 function of the arrays
    `at`, built on `reference.exact`. cotangent: like forward's output (1.0 for a loss). Random directions make
    the cost independent of the number of parameters.
    """
    got = got if isinstance(got, tuple) else (got,)
    want = want if isinstance(want, tuple | list) else (want,)
    assert_close(got, tuple(want), names)
    points = [to_numpy(plain(array)) for array in at]
    weight = to_numpy(plain(cotangent))
    for i, (gradient, wanted) in enumerate(zip(got, want, strict=True)):
        for _ in range(_PROJECTIONS):
            direction = rng.normal(size=points[i].shape)
            slope, uncertain = _slope(forward, points, i, direction, weight)
            size = float(np.sum(np.abs(wanted.want * direction)))
            uncertain += _FD_RELATIVE * size + _FD_RELATIVE * abs(slope)
            if abs(float(np.sum(wanted.want * direction)) - slope) > uncertain:
                raise OracleError(f"gradient {i} of the reference disagrees with finite differences of its own forward")
            allowed = float(np.sum(tolerance(wanted) * np.abs(direction))) + uncertain
            if not abs(float(np.sum(to_numpy(gradient) * direction)) - slope) <= allowed:
                name = names[i] if names else f"Gradient {i + 1}"
                raise Rejected(f"{name} disagrees with finite differences of the forward function.")


class OracleError(Exception):
    """The reference contradicts itself: the exercise is at fault, never the submission."""


def _slope(
    forward: Callable[..., Any], points: list[np.ndarray], index: int, direction: np.ndarray, weight: np.ndarray
) -> tuple[float, float]:
    """Return the directional derivative by central differences with one Richardson step, and its uncertainty."""

    def terms(step: float) -> np.ndarray:
        moved = [point + step * direction if i == index else point for i, point in enumerate(points)]
        return np.asarray(to_numpy(forward(*moved)) * weight)

    def value(step: float) -> float:
        return float(np.sum(terms(step)))

    step = _STEP * max(1.0, float(np.max(np.abs(points[index]), initial=0.0)) / 100)
    wide = (value(step) - value(-step)) / (2 * step)
    narrow = (value(step / 2) - value(-step / 2)) / step
    best = narrow + (narrow - wide) / 3
    rounding = 64 * UNIT_ROUNDOFF["float64"] * float(np.sum(np.abs(terms(0.0)))) / step
    return best, abs(narrow - wide) + rounding


def assert_autograd(
    function: RemoteFunction, reference: Any, *args: Any, rng: np.random.Generator, **kwargs: Any
) -> None:
    """Reject unless output and gradients by autograd agree with the reference's, and with finite differences.

    function: `submission.f`. reference: `reference.f`. The gradients are those of every floating tensor among the
    arguments, for a fresh random cotangent.
    """
    mine = reference.record(*args, **kwargs)
    theirs = function.record(*args, **kwargs)
    assert_close(theirs.output, mine.output)
    torch = __import__("torch")
    drawn = torch.from_numpy(rng.normal(size=mine.output.want.shape))
    cotangent = drawn.to(getattr(torch, mine.output.dtype))
    names = [f"The gradient of argument {i + 1}" for i in range(len(mine.leaves))]
    points = mine.leaves
    assert_gradients(
        theirs.backward(cotangent),
        mine.backward(cotangent),
        forward=mine.forward,
        at=points,
        cotangent=cotangent,
        rng=rng,
        names=names,
    )


def assert_unchanged(submission: Submission) -> None:
    """Reject if an argument of any call since the test began (held ones excepted) is not as it was sent."""
    changed = submission.session.ask("your file", {"op": "changed"})
    if not isinstance(changed, list):
        raise Rejected("Your file gave an answer that cannot be.", Verdict.PROTOCOL_VIOLATION)
    if changed:
        raise Rejected(_changed(submission, changed[0]))


def _changed(submission: Submission, entry: Any) -> str:
    match entry:
        case [int(), str(name), str() | int() as label]:
            return f"{_known(submission, name)} changed its argument {_argument(submission, name, label)}."
    return "An argument was changed."


def _known(submission: Submission, name: str) -> str:
    exercise = submission.session.exercise
    names = {f.name for f in exercise.functions} | {c.name for c in exercise.classes}
    names |= {m.name for c in exercise.classes for m in c.methods}
    return name if name in names else "Your file"


def _argument(submission: Submission, name: str, label: str | int) -> str:
    exercise = submission.session.exercise
    signatures = {f.name: f.signature for f in exercise.functions} | {c.name: c.signature for c in exercise.classes}
    signatures |= {m.name: m.signature for c in exercise.classes for m in c.methods}
    parts = [part.split("=")[0].strip(" *") for part in signatures.get(name, "()")[1:-1].split(",")]
    if isinstance(label, int):
        return f"`{parts[label]}`" if label < len(parts) else str(label + 1)
    return f"`{label}`" if label in parts else "by keyword"
