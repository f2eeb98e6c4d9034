"""What hidden tests see as `reference`: the right answer, and how exactly it can be known.

Each call of the reference is carried out in several *worlds* that differ in the inputs' precision:

    exact       float64 inputs (the inputs' own values): the wanted answer
    native      the inputs as they are: what the reference itself loses in the submission's dtype
    low, low64  for float64 inputs, whose loss no wider type measures: the inputs rounded to float32, computed in
                float32 and in float64; the loss in ulps is much the same in both widths, so it is scaled
    near 1..n   float64 inputs, each off by a random part of half an ulp of the submission's dtype: what a
                backward-stable algorithm may lose, whatever the order of its operations

Losses and responses become the tolerance in `grader/checkers.py`. Objects and held arrays have one copy a world.
Where exercise.toml says `batched`, the worlds of float64 are computed at once, as a further first axis of every array.

Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002, ch. 1 (forward error
<= condition times backward error).
"""

import copy
import functools
import importlib.util
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from grader.exercise import Class, Exercise
from grader.harness import gradients
from grader.returns import Atom, Returns, conform, parse_returns
from grader.wire import Callback

NEAR = 6
UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_NARROW = frozenset({"float32", "float16", "bfloat16"})
_LOW = "float32"
_MOST_LOST = 2.0**-4
_FAR = 2.0**10
_ALL = "wide"
_NEAR_WORLDS = tuple(f"near{i}" for i in range(NEAR))


class OracleError(Exception):
    """The reference contradicts itself, or proves nothing: the exercise is at fault, never the submission."""


@dataclass(frozen=True)
class Expected:
    """One wanted array or number.

    want: float64 (or integer, bool) array. native: the same in the submission's dtype, usable as an argument.
    loss, response: arrays like `want`: what the reference lost in that dtype, and the root mean square of its
    response to half-ulp changes of the inputs. `scalar`: a Python float serves as well as an array. `name`: what a
    message calls it.
    """

    want: np.ndarray
    native: Any
    dtype: str
    loss: np.ndarray
    response: np.ndarray
    scalar: bool = False
    name: str = ""


def is_tensor(value: Any) -> bool:
    """Tell whether `value` is a torch tensor, without importing torch."""
    return _is_tensor_type(value.__class__)


@functools.cache
def _is_tensor_type(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "torch" and hasattr(kind, "untyped_storage")


def dtype_name(value: Any) -> str:
    """Return the dtype of an array or tensor as both libraries spell it."""
    return _spell(value.dtype)


@functools.cache
def _spell(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")  # NumPy takes ten microseconds for this


def to_numpy(value: Any) -> np.ndarray:
    """Return a NumPy array of `value`; floating values in float64, whatever they were."""
    if is_tensor(value):
        value = value.detach()
        value = (value.double() if dtype_name(value) in _NARROW else value).numpy()
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def load_module(path: Path, name: str) -> ModuleType:
    """Import a trusted file of an exercise under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - a .py file has a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def cast(value: Any, dtype: str) -> Any:
    """Return nested values with every floating array or tensor in `dtype`, and every one of them copied."""
    if isinstance(value, np.ndarray):
        return value.astype(dtype) if value.dtype.kind == "f" else value.copy()
    if is_tensor(value):
        torch = sys.modules["torch"]
        return value.detach().to(getattr(torch, dtype), copy=True) if value.is_floating_point() else value.clone()
    if isinstance(value, list | tuple):
        return type(value)(cast(part, dtype) for part in value)
    if isinstance(value, dict):
        return {key: cast(part, dtype) for key, part in value.items()}
    return copy.deepcopy(value) if isinstance(value, np.random.Generator) else value


def floats(value: Any) -> list[Any]:
    """List the floating arrays and tensors in nested values, in order."""
    if isinstance(value, np.ndarray):
        return [value] if value.dtype.kind == "f" else []
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in floats(part)]
    if isinstance(value, dict):
        return [array for part in value.values() for array in floats(part)]
    return [value] if is_tensor(value) and value.is_floating_point() else []


@dataclass(frozen=True)
class World:
    """One precision to compute in; `near` worlds also shift the inputs at random."""

    name: str
    dtype: str
    through: str = ""
    shift_by: float = 0.0
    """In half ulps of the submission's dtype; what comes of it is divided by it."""

    def cast(self, array: Any) -> Any:
        """Return a copy of a floating array in this world's precision."""
        return cast(cast(array, self.through) if self.through else array, self.dtype)


def enter(value: Any, dtype: str, rng: np.random.Generator, *, batched: bool = False) -> list[tuple[str, Any]]:
    """Return copies of nested values (whose floats are of `dtype`): the name of each world, and what it sees.

    `batched`: all worlds of float64 are the one called `wide`, in which they are a first axis of every float array:
    exact, (low64,) near 0, 1, ...
    """
    arrays = floats(value)
    parts = shifts(arrays, dtype, rng)
    if batched:
        narrow = worlds(dtype)[1]
        wide = [_stacked(array, dtype, moves) for array, moves in zip(arrays, parts, strict=True)]
        copies = [(_ALL, wide), (narrow.name, [narrow.cast(array) for array in arrays])]
    else:
        others = [(each.name, list(map(each.cast, arrays))) for each in worlds(dtype) if not each.shift_by]
        moved = [_shifted(array, moves) for array, moves in zip(arrays, parts, strict=True)]
        copies = [*others, *((name, [each[i] for each in moved]) for i, name in enumerate(_NEAR_WORLDS))]
    return [(world, _enter(value, world, iter(inside))) for world, inside in copies]


def _enter(value: Any, world: str, copies: Iterator[Any]) -> Any:
    if isinstance(value, np.ndarray):
        return next(copies) if value.dtype.kind == "f" else value.copy()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)([_enter(part, world, copies) for part in value])
    if isinstance(value, dict):
        return {key: _enter(part, world, copies) for key, part in value.items()}
    if isinstance(value, PerWorld):
        return value.by_world[world]
    return next(copies) if floats(value) else cast(value, "")


def shifts(arrays: Sequence[Any], dtype: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Return by how much of itself each element of each array is off in the near worlds, up or down: (NEAR, ...)."""
    sizes = [math.prod(array.shape) for array in arrays]
    drawn = rng.uniform(-1, 1, size=(NEAR, sum(sizes)))  # world by world, as they were drawn for one world at a time
    drawn *= _units(dtype)
    ends = itertools.accumulate(sizes)
    return [
        drawn[:, end - size : end].reshape(NEAR, *array.shape)
        for array, size, end in zip(arrays, sizes, ends, strict=True)
    ]


def _shifted(array: Any, parts: np.ndarray) -> list[Any]:
    """Return the float64 copies of the near worlds, laid out in memory as the original.

    The part is added: a factor 1 + 2**-53 r would round to 1 or less, and float64 inputs only ever shrink.
    """
    if isinstance(array, np.ndarray) and array.flags.c_contiguous:
        start = array.astype(np.float64)
        moved = start + start * parts
        return [moved[near, ...] for near in range(NEAR)]
    copies = []
    for part in parts:
        moved = cast(array, "float64")
        moved += moved * (sys.modules["torch"].from_numpy(np.asarray(part)) if is_tensor(array) else part)
        copies.append(moved)
    return copies


def _stacked(array: Any, dtype: str, parts: np.ndarray) -> Any:
    """Return the copies of all worlds of float64, one after the other along a new first axis."""
    start = to_numpy(array)
    shape = (NEAR + 1 + (dtype == "float64"), *start.shape)
    tensor = sys.modules["torch"].empty(shape, dtype=sys.modules["torch"].float64) if is_tensor(array) else None
    rows = np.empty(shape) if tensor is None else tensor.numpy()
    rows[0] = start
    if dtype == "float64":
        rows[1] = start.astype(_LOW)
    np.multiply(start, parts, out=rows[-NEAR:])
    rows[-NEAR:] += start
    return rows if tensor is None else tensor


@functools.cache
def _units(dtype: str) -> np.ndarray:
    """Return by how much of itself an input may move in each near world (NEAR, 1)."""
    return np.array([[_half_ulps(dtype, near) * UNIT_ROUNDOFF[dtype]] for near in range(NEAR)])


@functools.cache
def worlds(dtype: str) -> tuple[World, ...]:
    """Return the worlds for inputs of `dtype`; the first is the exact one."""
    near = [World(name, "float64", shift_by=_half_ulps(dtype, i)) for i, name in enumerate(_NEAR_WORLDS)]
    exact = World("exact", "float64")
    if dtype == "float64":
        return exact, World("low", _LOW), World("low64", "float64", through=_LOW), *near
    return exact, World("native", dtype), *near


def _half_ulps(dtype: str, near: int) -> float:
    """Return by how many half ulps the inputs of a near world are shifted.

    A float64 input shifted by half an ulp of its own rounds back to itself, most often: its response would be 0 by
    luck. Every second world shifts it by far more; the others see what the reference itself loses in float64.
    """
    return _FAR if dtype == "float64" and near % 2 else 1.0


class PerWorld:
    """Something that has one copy in each world: a held array, an object, a recorded call."""

    def __init__(self, oracle: "Oracle", dtype: str, by_world: dict[str, Any]) -> None:
        """Keep the copies by the worlds' names."""
        self.oracle = oracle
        self.dtype = dtype
        self.by_world = by_world


class Oracle:
    """What a hidden test gets as `reference`; looks like `submission`, answers with `Expected`."""

    def __init__(self, exercise: Exercise, module: ModuleType, rng: np.random.Generator) -> None:
        """Use the exercise's reference module; `rng` draws the small shifts."""
        self.module = module
        self.rng = rng
        self.exact = Exact(exercise, module)
        self.batched = exercise.batched
        self._functions = {function.name: function for function in exercise.functions}
        self._classes = {cls.name: cls for cls in exercise.classes}

    def __getattr__(self, name: str) -> Any:
        """Return a function of the reference, or a class to be instantiated in every world."""
        if name in self._functions:
            return OracleFunction(self, getattr(self.module, name), parse_returns(self._functions[name].returns), name)
        if name in self._classes:
            return self._constructor(self._classes[name])
        raise AttributeError(f"exercise.toml declares no {name}")

    def hold(self, value: Any) -> "OracleHeld":
        """Keep a copy of an array in every world."""
        value = plain(value)
        dtype = working_dtype(value)
        return OracleHeld(self, dtype, self.run(lambda _, inside: inside, value, dtype))

    def run(self, function: Callable[[str, Any], Any], value: Any, dtype: str) -> dict[str, Any]:
        """Carry `function` out in every world, on its name and its copy of `value`, without NumPy's warnings."""
        with np.errstate(all="ignore"):
            inside = enter(value, dtype, self.rng, batched=self.batched)
            return {world: function(world, given) for world, given in inside}

    def _constructor(self, cls: Class) -> Callable[..., "OracleObject"]:
        def construct(*args: Any, **kwargs: Any) -> OracleObject:
            given = plain([args, kwargs])
            dtype = working_dtype(given)
            make = getattr(self.module, cls.name)
            copies = self.run(lambda _, inside: make(*inside[0], **inside[1]), given, dtype)
            return OracleObject(self, dtype, copies, cls)

        return construct


class OracleFunction:
    """A function or method of the reference, carried out in every world."""

    def __init__(
        self, oracle: Oracle, function: Any, returns: Returns, name: str, owner: PerWorld | None = None
    ) -> None:
        """Take a function, or the name of a method where there is an `owner`; `name` is for messages."""
        self._oracle = oracle
        self._function = function
        self._returns = returns
        self._name = name
        self._owner = owner

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return Expected values in the structure the interface declares."""
        given = plain([args, kwargs])
        dtype = self._owner.dtype if self._owner is not None else working_dtype(given)
        answers = self._oracle.run(lambda world, inside: self._in(world)(*inside[0], **inside[1]), given, dtype)
        return expect(answers, self._returns, dtype, f"The answer of {self._name}")

    def record(self, *args: Any, **kwargs: Any) -> "OracleRecording":
        """Call it with every floating tensor as a leaf that requires grad, in every world."""
        given = plain([list(args), kwargs])
        dtype = self._owner.dtype if self._owner is not None else working_dtype(given)

        def run(world: str, inside: Any) -> tuple[Any, list[Any]]:
            leaves = [leaf.requires_grad_() for leaf in floats(inside)]
            return self._in(world)(*inside[0], **inside[1]), leaves

        def forward(*points: Any) -> Any:
            with np.errstate(all="ignore"):
                inside, named = _refill(given, iter(points))
                return self._in("exact")(*inside, **named)

        answers = self._oracle.run(run, given, dtype)
        return OracleRecording(self._oracle, dtype, answers, self._returns, floats(given), forward, self._name)

    def _in(self, world: str) -> Any:
        return self._function if self._owner is None else getattr(self._owner.by_world[world], self._function)


class OracleHeld(PerWorld):
    """A held array of the reference."""

    def fetch(self) -> Expected:
        """Return the present content."""
        content = {name: cast(value, dtype_name(value)) for name, value in self.by_world.items()}
        expected: Expected = expect(content, Atom("any"), self.dtype, "The array")
        return expected


class OracleObject(PerWorld):
    """An object of one of the reference's classes."""

    def __init__(self, oracle: Oracle, dtype: str, by_world: dict[str, Any], cls: Class) -> None:
        """Know the class's declared methods and attributes."""
        super().__init__(oracle, dtype, by_world)
        self._methods = {method.name: method for method in cls.methods}
        self._attributes = cls.attributes
        self._class = cls.name

    def __getattr__(self, name: str) -> Any:
        """Return a method, or the Expected value of a declared attribute."""
        if name in self._methods:
            returns = parse_returns(self._methods[name].returns)
            return OracleFunction(self.oracle, name, returns, f"{self._class}.{name}", self)
        if name not in self._attributes:
            raise AttributeError(f"exercise.toml declares no {name}")
        values = {world: getattr(each, name) for world, each in self.by_world.items()}
        return expect(values, parse_returns(self._attributes[name]), self.dtype, f"The attribute {name}")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give a torch module parameters and buffers, and with them the dtype to work in."""
        state = plain(state)
        self.dtype = working_dtype(state)
        module = self.by_world["exact"]
        self.by_world = {}
        for world, (_, inside) in zip(worlds(self.dtype), enter(state, self.dtype, self.oracle.rng), strict=True):
            self.by_world[world.name] = copy.deepcopy(module).to(getattr(sys.modules["torch"], world.dtype))
            self.by_world[world.name].load_state_dict(inside)


class OracleRecording(PerWorld):
    """A recorded call of the reference: its output and its gradients."""

    def __init__(
        self,
        oracle: Oracle,
        dtype: str,
        by_world: dict[str, Any],
        returns: Returns,
        leaves: list[Any],
        forward: Callable[..., Any],
        name: str,
    ) -> None:
        """Expect the output in the declared structure; `forward` computes it in float64 from new leaves."""
        super().__init__(oracle, dtype, by_world)
        self.leaves = leaves
        self.forward = forward
        self._name = name
        outputs = {world: output for world, (output, _) in by_world.items()}
        self.output = expect(outputs, returns, dtype, f"The answer of {name}")

    def backward(
        self, *cotangents: Any, module: PerWorld | None = None, parameters: Sequence[str] = ()
    ) -> tuple[Expected, ...]:
        """Return the gradients of the leaves, or of a module's named parameters, for cotangents like the outputs."""
        torch = sys.modules["torch"]
        given = plain(list(cotangents))

        def run(world: str, inside: list[Any]) -> list[Any]:
            output, leaves = self.by_world[world]
            if module is not None:
                leaves = [module.by_world[world].get_parameter(name) for name in parameters]
            found = gradients(floats([output]), leaves, inside)
            return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]

        answers, name = self.oracle.run(run, given, self.dtype), f"The gradient of {self._name}"
        expected: tuple[Expected, ...] = expect(answers, parse_returns("[tensor]"), self.dtype, name)
        return expected


class Exact:
    """The reference in float64 alone, with plain values: for finite differences and for drawing inputs."""

    def __init__(self, exercise: Exercise, module: ModuleType) -> None:
        """Offer the exercise's functions."""
        self._module = module
        self._functions = {function.name: function for function in exercise.functions}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a function that casts its floating arrays to float64."""
        if name not in self._functions:
            raise AttributeError(f"exercise.toml declares no function {name}")
        returns = parse_returns(self._functions[name].returns)

        def call(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = cast(plain(args), "float64"), cast(plain(kwargs), "float64")
            with np.errstate(all="ignore"):
                return conform(_boxed(getattr(self._module, name)(*args, **kwargs)), returns, name)

        return call


def plain(value: Any) -> Any:
    """Replace every Expected in nested values by its native value, and every Callback by its function."""
    if isinstance(value, Expected):
        return value.native
    if isinstance(value, Callback):
        return value.function
    if isinstance(value, (list, tuple)):
        return type(value)([plain(part) for part in value])
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return value


def working_dtype(value: Any) -> str:
    """Return the dtype that the floating arrays in `value` (or the held arrays) share; float64 if there are none."""
    held = [part.dtype for part in _per_world(value)]
    found = {dtype_name(array) for array in floats(value)} | set(held)
    if len(found) > 1:
        raise TypeError(f"a hidden test mixes floating dtypes: {sorted(found)}")
    return found.pop() if found else "float64"


def _per_world(value: Any) -> list[PerWorld]:
    if isinstance(value, PerWorld):
        return [value]
    if isinstance(value, (list, tuple)):
        return [found for part in value for found in _per_world(part)]
    return [found for part in value.values() for found in _per_world(part)] if isinstance(value, dict) else []


def _refill(value: Any, points: Iterator[np.ndarray]) -> Any:
    """Replace the floating tensors in nested values by the next points, as float64 tensors."""
    if is_tensor(value) and value.is_floating_point():
        return sys.modules["torch"].from_numpy(np.array(next(points)))
    if isinstance(value, list | tuple):
        return type(value)(_refill(part, points) for part in value)
    if isinstance(value, dict):
        return {key: _refill(part, points) for key, part in value.items()}
    return value


def _boxed(value: Any) -> Any:
    """Turn NumPy scalars into 0-d arrays, as the wire does."""
    if isinstance(value, np.generic):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return type(value)(_boxed(part) for part in value)
    return value


def expect(answers: dict[str, Any], returns: Returns, dtype: str, name: str = "") -> Any:
    """Put the answers of all worlds together, part by part of their structure; `name` is for messages."""
    conformed = {name: conform(_boxed(answer), returns, "the reference") for name, answer in answers.items()}
    with np.errstate(all="ignore"):
        return _together(conformed, returns, dtype, name)


def _together(answers: dict[str, Any], returns: Returns, dtype: str, name: str) -> Any:
    exact = answers[_ALL] if _ALL in answers else answers["exact"]
    if isinstance(exact, tuple):
        items: Sequence[Returns] = getattr(returns, "items", None) or [getattr(returns, "item", returns)] * len(exact)
        return tuple(
            _together({world: answer[i] for world, answer in answers.items()}, item, dtype, name)
            for i, item in enumerate(items)
        )
    if isinstance(exact, dict):
        item = getattr(returns, "item", returns)
        return {
            key: _together({world: answer[key] for world, answer in answers.items()}, item, dtype, name)
            for key in exact
        }
    if exact is None or isinstance(exact, str):
        return exact
    if _ALL in answers:
        return _of_all(exact, answers, dtype, name)
    want = to_numpy(exact)
    native = answers.get("native", exact)
    if want.dtype.kind != "f":
        zero = np.zeros(want.shape)
        kept = dtype_name(native) if hasattr(native, "dtype") else ""
        return Expected(want, native, kept, zero, zero, name=name)
    near = np.array([to_numpy(answers[world]) for world in _NEAR_WORLDS])
    if "native" in answers:
        loss = _finite(np.abs(to_numpy(native) - want))
    else:
        loss = _scaled_loss(to_numpy(answers["low"]), to_numpy(answers["low64"]))
    scalar = isinstance(returns, Atom) and returns.name == "scalar"
    return Expected(want, native, dtype, loss, _response(near, want, dtype), scalar, name)


def _of_all(whole: Any, answers: dict[str, Any], dtype: str, name: str) -> Expected:
    """Make an Expected of an answer for all worlds of float64, a first axis, and of that for the narrow one."""
    rows, given = to_numpy(whole), answers.get("native", answers.get("low"))
    narrow = to_numpy(given)
    count = NEAR + 1 + (dtype == "float64")
    if rows.dtype.kind != "f" or rows.shape != (count, *narrow.shape):
        raise OracleError("exercise.toml says `batched`, but a first axis of the arguments is not one of the answer")
    want = rows[0, ...]
    if "native" in answers:
        native, loss = given, _finite(np.abs(narrow - want))
    else:
        native, loss = whole[0, ...], _scaled_loss(narrow, rows[1, ...])
    return Expected(want, native, dtype, loss, _response(rows[-NEAR:], want, dtype), name=name)


def _response(near: np.ndarray, want: np.ndarray, dtype: str) -> np.ndarray:
    """Return the root mean square, over the near worlds, of how far the answer moved: `near` (NEAR, ...)."""
    moved = _finite(np.abs(near - want))
    if dtype == "float64":  # elsewhere each was shifted by 1
        moved /= _moved_by(want.ndim)
    # Relative to the largest, so that squares of 1e200 or 1e-200 are not lost.
    largest = np.maximum.reduce(moved, axis=0)
    moved /= np.where(largest > 0, largest, 1.0)
    response: np.ndarray = largest * np.sqrt(np.add.reduce(np.square(moved), axis=0) / NEAR)
    return response


@functools.cache
def _moved_by(rank: int) -> np.ndarray:
    """Return what the shifts of the near worlds are divided by for float64 (NEAR, 1, ...)."""
    return np.reshape([_half_ulps("float64", near) for near in range(NEAR)], (NEAR, *[1] * rank))


def _scaled_loss(low: np.ndarray, low64: np.ndarray) -> np.ndarray:
    """Return what float32 lost, scaled to float64; 0 in rows where float32 lost nearly everything.

    There it left its range (1e-30 squared is 0) or its digits, and a share of such a loss would let float32 pass;
    the response alone, measured in float64, decides.
    """
    loss = _finite(np.abs(low - low64))
    if loss.ndim:
        worst = np.max(loss, axis=-1, keepdims=True, initial=0.0)
        size = np.max(_finite(np.abs(low64)), axis=-1, keepdims=True, initial=0.0)
    else:
        worst, size = loss, _finite(np.abs(low64))
    ratio = UNIT_ROUNDOFF["float64"] / UNIT_ROUNDOFF[_LOW]
    kept: np.ndarray = np.where((worst > _MOST_LOST * size) & (size > 0), 0.0, loss * ratio)
    return kept


def _finite(error: np.ndarray) -> np.ndarray:
    """Errors where the reference itself is infinite or not a number say nothing; there, equality is asked."""
    return np.where(np.isfinite(error), error, 0.0)
