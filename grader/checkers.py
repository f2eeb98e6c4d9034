"""Checkers: compare an answer with what the reference says, and say how it fails without saying what was hidden.

The tolerance is derived, not chosen for each exercise. With u the unit roundoff of the submission's dtype and, over
each row (last axis) of the wanted array, L what the reference loses in that dtype, R its response to half-ulp changes
of the inputs (`grader/oracle.py`), and S the row's largest value,

    tolerance = HONEST * max(L, R) + ULPS * 2u * S

An honest algorithm may add up in another order or keep other intermediates; its error is then a multiple of
max(L, R) that grows like the square root of the number of terms for random signs (Higham 2002, ch. 4). Half precision
inside a float32 answer loses 2^13 times u. HONEST = 64 and ULPS = 32 lie near the geometric middle, measured as
error / tolerance over sums, products, softmax, variance, sigmoid, logsumexp and layer norm of up to 256 terms:

    at most 0.25    right programs in many styles, float32 and float64, 800 draws each: tanh for sigmoid, then loops
    6 and more      half precision inside float32, the luckiest of 400 draws of 3 elements and 4 terms or more; the
                    median is 30 to 90 (a lone element can be right by luck)
    500 and more    float32 inside float64, 1e-8 added in float64, a constant off by 1e-3 in float64: the luckiest draw

For 16-bit dtypes there is no narrower type to exclude and 64 times the loss would be the answer itself: 16 and 4. Right
programs lose up to 8 times what the reference does (attention's gradients in bfloat16 with an online softmax: half of
the tolerance), with and without float32 intermediates.

A tolerance can grow until any answer passes: near a kink, or where the inputs determine nothing. Beyond MOST of the
array's largest value the comparison would prove nothing, and OracleError says so: the exercise is at fault.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grader.oracle import UNIT_ROUNDOFF, Expected, OracleError, dtype_name, is_tensor, plain, to_numpy
from grader.patterns import describe
from grader.proxy import RemoteFunction, Submission
from grader.verdict import Rejected, Verdict
from grader.wire import Callback

__all__ = [
    "Callback",
    "OracleError",
    "assert_autograd",
    "assert_close",
    "assert_gradients",
    "assert_unchanged",
    "tolerance",
]

_WIDE = (64.0, 32.0)
_NARROW = (16.0, 4.0)
_MOST = {"float64": 2.0**-20, "float32": 0.5, "float16": 1.0, "bfloat16": 1.0}
_TINY = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}
_COUNTED = 1e-3
_STEPS = [1e-4 * 2.0**-i for i in (0, 5, 10, 15, 20, 30)]
_FD_RELATIVE = 1e-6


class Disclosure:
    """Whether a message may show the values compared: the judge forbids it for hidden tests."""

    values = True


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
    """Return the allowed absolute error of each element of `want.want`; raises OracleError if it allows anything."""
    honest, ulps = _NARROW if want.dtype in ("float16", "bfloat16") else _WIDE
    unit, tiny = UNIT_ROUNDOFF[want.dtype], _TINY[want.dtype]
    scale = _rows(np.where(np.isfinite(want.want), np.abs(want.want), 0.0))
    loss, response = _rows(want.loss), _rows(want.response)
    # One row may be exact by luck: no row is held to less than what the median row loses, relative to its size. Rows
    # far smaller than others do not count there: what underflows loses all of itself, and would excuse every row.
    largest = float(np.maximum.reduce(scale, axis=None, initial=0.0))
    counted = scale > _COUNTED * largest
    typical = _median(loss[counted] / scale[counted])
    lost = honest * np.maximum(np.maximum(loss, typical * scale), response)
    if largest > tiny and (most := float(np.maximum.reduce(lost, axis=None))) > _MOST[want.dtype] * largest:
        raise OracleError(
            f"the tolerance would be {most / largest:.1g} of the largest value wanted, and prove nothing: "
            "the inputs are near a kink, or rounding decides the answer"
        )
    allowed = np.empty(want.want.shape)
    allowed[...] = lost + ulps * 2 * unit * scale + ulps * tiny
    return allowed


def _median(values: np.ndarray) -> float:
    """Return the median of finite `values` (n,), 0 of none; np.median loads numpy.ma, a tenth of a cold judging."""
    ordered = np.sort(values)
    return float(ordered[(ordered.size - 1) // 2] + ordered[ordered.size // 2]) / 2 if ordered.size else 0.0


def _rows(array: np.ndarray) -> np.ndarray:
    """Return the largest value of each row, as (..., 1); of 0-d and empty arrays all values."""
    return array if array.size == 0 or array.ndim == 0 else np.maximum.reduce(array, axis=-1, keepdims=True)


def assert_close(got: Any, want: Any, names: Sequence[str] | None = None) -> None:
    """Reject unless `got` has the shape and dtype of `want`, is finite where it is, and lies within the tolerance.

    want: what `reference` returned (an Expected, or a tuple or dict of them); in public tests an array, a number or
    nested lists of numbers, compared to 64 ulps of its row's largest value. names: what the parts are called.
    """
    if isinstance(want, tuple | list) and isinstance(got, tuple) and names:
        _count(got, len(want), "The answer")
        for i, (part, wanted) in enumerate(zip(got, want, strict=True)):
            _assert_close(part, wanted, names[i] if i < len(names) else f"Part {i + 1}")
    else:
        _assert_close(got, want, names[0] if names else "")


def _assert_close(got: Any, want: Any, name: str) -> None:
    if isinstance(want, Expected):
        _compare(got, want, name or want.name or "The answer")
    elif isinstance(want, tuple) or (isinstance(want, list) and isinstance(got, tuple)):
        _count(got, len(want), name or "The answer")
        for i, (part, wanted) in enumerate(zip(got, want, strict=True)):
            whole = name or getattr(wanted, "name", "")
            _assert_close(
                part, wanted, f"{name}[{i}]" if name else f"Part {i + 1}" + (f" of {_in(whole)}" if whole else "")
            )
    elif isinstance(want, dict):
        if not isinstance(got, dict) or set(got) != set(want):
            raise Rejected(f"{name or 'The answer'} is not a dict with the keys {', '.join(map(repr, sorted(want)))}.")
        for key, wanted in want.items():
            _assert_close(got[key], wanted, f"{name}[{key!r}]")
    elif isinstance(want, np.ndarray | np.generic | bool | int | float | list) or is_tensor(want):
        _compare(got, _literal(got, want), name or "The answer", disclose=Disclosure.values)
    else:
        raise TypeError(f"assert_close cannot compare with a {type(want).__name__}")


def _in(name: str) -> str:
    """Put a name that begins a sentence inside one."""
    return name[0].lower() + name[1:] if name.startswith("The ") else name


def _count(got: Any, wanted: int, name: str) -> None:
    """Reject unless `got` is a tuple of `wanted` parts."""
    if not isinstance(got, tuple):
        raise Rejected(f"{name} is a single value; {wanted} are expected.")
    if len(got) != wanted:
        raise Rejected(f"{name} has {len(got)} {'part' if len(got) == 1 else 'parts'}; {wanted} are expected.")


def _literal(got: Any, want: Any) -> Expected:
    """Make an Expected of a value written down in a public test."""
    array = to_numpy(want if hasattr(want, "dtype") else np.asarray(want))
    zero = np.zeros(array.shape)
    given = dtype_name(got) if hasattr(got, "dtype") else "float64"
    if array.dtype.kind in "iu" and not hasattr(want, "dtype") and "int" not in given:
        array = array.astype(np.float64)  # [1, 2] stands for [1.0, 2.0]
    dtype = dtype_name(want) if hasattr(want, "dtype") and array.dtype.kind == "f" else given
    number = not hasattr(want, "dtype") and not isinstance(want, list)
    return Expected(array, want, dtype if dtype in UNIT_ROUNDOFF else "float64", zero, zero, scalar=number)


def _compare(got: Any, want: Expected, name: str, *, disclose: bool = False) -> None:
    _check_form(got, want, name)
    found = to_numpy(got)
    shown = f" Expected {_spell(want.want)}, got {_spell(found)}." if disclose else ""
    if want.want.dtype.kind != "f":
        wrong = found != want.want
        if np.any(wrong):
            raise Rejected(f"{name} is wrong in {describe(wrong)}.{shown}")
        return
    allowed = tolerance(want)
    with np.errstate(all="ignore"):
        error = np.abs(found - want.want)
        if (error <= allowed).all():  # so that all is finite
            Margins.note(float(np.maximum.reduce(error / allowed, axis=None)), passed=True)
            return
    finite = np.isfinite(want.want)
    if np.any(strange := finite & ~np.isfinite(found)):
        kind = "NaN" if np.any(np.isnan(found[strange])) else "infinite"
        raise Rejected(f"{name} is {kind} where it should be finite: in {describe(strange)}.{shown}")
    with np.errstate(all="ignore"):
        within = np.where(finite, error <= allowed, (found == want.want) | (np.isnan(found) & np.isnan(want.want)))
        ratio = np.where(finite, error / allowed, np.where(within, 0.0, np.inf))
    passed = bool(np.all(within))
    Margins.note(float(np.max(ratio, initial=0.0)), passed=passed)
    if passed:
        return
    if np.any(astray := ~within & ~finite):
        raise Rejected(f"{name} is not infinite, or not NaN, where it should be: in {describe(astray)}.{shown}")
    where = describe(~within, found, want.want, allowed)
    raise Rejected(f"{name} is wrong in {where}. {_size_of(error, ratio, allowed, want.want)}{shown}")


def _size_of(error: np.ndarray, ratio: np.ndarray, allowed: np.ndarray, want: np.ndarray) -> str:
    """Say how large the worst error is, relative to its row: in absolute terms it could give a value away."""
    worst = int(np.argmax(np.where(np.isfinite(want), ratio, -1.0)))
    rows = _rows(np.where(np.isfinite(want), np.abs(want), 0.0))
    scale = float(np.broadcast_to(rows, want.shape).flat[worst])
    if scale == 0 or error.flat[worst] > 1e6 * scale:
        return "The error is far larger than the values expected."
    row = (
        "the value expected" if want.size == 1 else f"the largest value {'of its row' if want.ndim > 1 else 'expected'}"
    )
    return (
        f"The largest error is {error.flat[worst] / scale:.2g} times {row}; "
        f"{allowed.flat[worst] / scale:.2g} times would pass as rounding."
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


def assert_gradients(  # noqa: PLR0913 - by keyword
    got: Any,
    want: Any,
    *,
    forward: Callable[..., Any],
    at: Sequence[Any],
    cotangent: Any,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    batched: bool = False,
) -> None:
    """Reject unless the gradients `got` agree with `want`, which must agree with directional finite differences.

    got, want: one gradient, or a sequence with one for each array of `at`. forward: a float64 function of the arrays
    `at`, built on `reference.exact`; where `batched`, of several of each along a first axis. cotangent: like forward's
    output (1.0 for a loss). One random direction for each gradient makes the cost independent of the number of
    parameters. The differences come first, so that a reference which contradicts its own forward is found (OracleError)
    whatever the submission says; what then lies within the tolerance of `want` agrees with the differences as well.
    """
    got = got if isinstance(got, tuple) else (got,)
    want = tuple(want) if isinstance(want, tuple | list) else (want,)
    points = [to_numpy(plain(array)) for array in at]
    differences = Differences(forward, points, to_numpy(plain(cotangent)), rng, batched=batched)
    directions = [rng.normal(size=points[i].shape) for i in range(len(want))]
    if batched:
        differences.begin(directions)
    for i, (wanted, direction) in enumerate(zip(want, directions, strict=True)):
        differences.check(i, wanted.want, direction)
    assert_close(got, want, names or ("The gradient",) if len(want) == 1 else names)


class Differences:
    """Directional finite differences of a float64 function, and how far they can be trusted."""

    def __init__(
        self,
        forward: Callable[..., Any],
        points: list[np.ndarray],
        weight: np.ndarray,
        rng: np.random.Generator,
        *,
        batched: bool = False,
    ) -> None:
        """Measure the noise of `forward` at `points`: what it makes of changes by an ulp."""
        self._forward = forward
        self._points = points
        self._weight = weight
        self._batched = batched
        self._ready: dict[tuple[int, float], list[np.ndarray]] = {}
        unit = UNIT_ROUNDOFF["float64"]
        near = [[p * (1 + 2 * unit * rng.uniform(-1, 1, size=p.shape)) for p in points] for _ in range(3)]
        terms, *others = self._terms([points, *near])
        with np.errstate(all="ignore"):
            moved = [abs(float(np.sum(other - terms))) for other in others]
        self._noise = 64 * unit * float(np.sum(np.abs(terms))) + 8 * max(moved)

    def begin(self, directions: list[np.ndarray]) -> None:
        """Evaluate at once what the first step in each direction needs, which is enough for most."""
        steps = [_STEPS[0] * self._size(index) for index in range(len(directions))]
        ends = [self._ends(i, direction, steps[i], steps[i] / 2) for i, direction in enumerate(directions)]
        terms = iter(self._terms([place for places in ends for place in places]))
        self._ready = {(i, step): [next(terms) for _ in ends[i]] for i, step in enumerate(steps)}

    def check(self, index: int, gradient: np.ndarray, direction: np.ndarray) -> None:
        """Raise OracleError unless `gradient` in points[index] has the slope that the differences find."""
        if gradient.shape != direction.shape:
            raise OracleError(f"gradient {index} of the reference has not the shape of what it is the gradient of")
        size = float(np.sum(np.abs(gradient * direction)))
        slope, uncertain = self._slope(index, direction, _FD_RELATIVE * size)
        uncertain += _FD_RELATIVE * (size + abs(slope))
        if not abs(float(np.sum(gradient * direction)) - slope) <= uncertain:
            raise OracleError(f"gradient {index} of the reference disagrees with finite differences of its own forward")
        if uncertain > float(np.linalg.norm(gradient)) > 0 and size > 1e3 * self._noise:
            raise OracleError(f"finite differences are too rough here to prove gradient {index}: use assert_close")

    def _slope(self, index: int, direction: np.ndarray, enough: float) -> tuple[float, float]:
        """Return the directional derivative by central differences with one Richardson step, and its uncertainty.

        Of several steps the first that is good `enough` serves, else the one with the least uncertainty: what is
        smooth at one scale of the inputs may not be at another.
        """
        found = []
        size = self._size(index)
        for relative in _STEPS:
            step = relative * size
            wide, narrow = self._quotients(index, direction, step, step / 2)
            bend, rounding = abs(narrow - wide), self._noise / step
            found.append((bend + rounding, narrow + (narrow - wide) / 3))
            if bend <= max(enough, rounding):
                break
        uncertain, slope = min((pair for pair in found if np.isfinite(pair).all()), default=(0.0, float("nan")))
        return slope, uncertain

    def _quotients(self, index: int, direction: np.ndarray, *steps: float) -> list[float]:
        """Return the central difference quotient for each step."""
        terms = self._ready.get((index, steps[0])) or self._terms(self._ends(index, direction, *steps))
        with np.errstate(all="ignore"):
            return [
                float(np.sum(up - down)) / (2 * step)
                for up, down, step in zip(terms[::2], terms[1::2], steps, strict=True)
            ]

    def _ends(self, index: int, direction: np.ndarray, *steps: float) -> list[list[np.ndarray]]:
        """Return the places a step to either side of the points, for each of `steps`."""
        return [
            [point + sign * step * direction if i == index else point for i, point in enumerate(self._points)]
            for step in steps
            for sign in (1, -1)
        ]

    def _size(self, index: int) -> float:
        """Return what steps are relative to: a hundredth of the largest element, and no less than 1."""
        point = self._points[index]
        return max(1.0, float(np.max(np.abs(point), initial=0.0, where=np.isfinite(point))) / 100)

    def _terms(self, places: list[list[np.ndarray]]) -> list[np.ndarray]:
        """Return the weighted outputs at each of several places."""
        with np.errstate(all="ignore"):
            if self._batched:
                return list(to_numpy(self._forward(*map(np.stack, zip(*places, strict=True)))) * self._weight)
            return [np.asarray(to_numpy(self._forward(*points)) * self._weight) for points in places]


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
    torch = sys.modules["torch"]
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
        return f"`{parts[label]}`" if 0 <= label < len(parts) else "by position"
    return f"`{label}`" if label in parts else "by keyword"
