"""The small language in which `exercise.toml` says what a function returns.

    array  tensor  scalar  int  bool  str  any
    none     nothing is used: a function may return what it likes
    [X]      a list or tuple of any length
    (X, Y)   a list or tuple of exactly these
    {X}      a dict with string keys

`conform` checks a decoded answer against it, so that hidden tests can rely on types and lengths
(never on shapes, dtypes or values).
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

import msgspec

_ATOMS = frozenset({"array", "tensor", "scalar", "int", "bool", "str", "none", "any"})
_TOKEN = re.compile(r"\s*([a-z]+|[\[\](){},])")
_SPOKEN = {
    "array": "a NumPy array",
    "tensor": "a torch tensor",
    "scalar": "a number",
    "int": "a whole number",
    "bool": "True or False",
    "str": "a string",
}
_INTEGER_KINDS = "iu"
_AS_IT_IS = {"array": "ndarray", "tensor": "Tensor"}


class ReturnsError(ValueError):
    """A `returns` text that is not of the language."""


class Mismatch(ValueError):  # noqa: N818 - a judgement, not an error of ours
    """An answer that is not what the interface declares; the text is for the student."""


class Unsupported(msgspec.Struct, frozen=True):
    """An object that does not cross: only its type's name did."""

    type_name: str


class Scalar(msgspec.Struct, frozen=True):
    """A NumPy scalar (`np.float32(1)`), told apart from a 0-d array; `array` is its 0-d array."""

    array: Any


@dataclass(frozen=True)
class Atom:
    """One of the words."""

    name: str


@dataclass(frozen=True)
class Many:
    """A list or tuple of any length."""

    item: "Returns"


@dataclass(frozen=True)
class Exactly:
    """A list or tuple of exactly these."""

    items: tuple["Returns", ...]


@dataclass(frozen=True)
class Named:
    """A dict with string keys."""

    item: "Returns"


Returns = Atom | Many | Exactly | Named


@functools.cache
def parse_returns(text: str) -> Returns:
    """Parse `text`; raises ReturnsError."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s", "", text):
        raise ReturnsError(f"cannot read {text!r}")

    def one() -> Returns:
        token = tokens.pop(0) if tokens else ""
        if token == "[":
            return Many(closed("]"))
        if token == "{":
            return Named(closed("}"))
        if token == "(":
            items = [one()]
            while tokens[:1] == [","]:
                tokens.pop(0)
                items.append(one())
            close(")")
            return Exactly(tuple(items))
        if token not in _ATOMS:
            raise ReturnsError(f"{token or 'nothing'!r} in {text!r} is none of {', '.join(sorted(_ATOMS))}")
        return Atom(token)

    def closed(bracket: str) -> Returns:
        item = one()
        close(bracket)
        return item

    def close(bracket: str) -> None:
        if tokens[:1] != [bracket]:
            raise ReturnsError(f"{bracket!r} is missing in {text!r}")
        tokens.pop(0)

    result = one()
    if tokens:
        raise ReturnsError(f"{tokens[0]!r} is too much in {text!r}")
    return result


def conform(value: Any, returns: Returns, where: str) -> Any:
    """Return `value` in the one form tests see (tuples for lists, arrays for NumPy scalars).

    `where` names the value in a Mismatch, for example "softmax" or "part 2 of softmax_backward".
    """
    match returns:
        case Atom(name):
            return _conform_atom(value, name, where)
        case Many(item):
            _require(isinstance(value, list | tuple), where, "a list", value)
            return tuple([_conform_part(part, item, i, where) for i, part in enumerate(value, 1)])
        case Exactly(items):
            _require(isinstance(value, list | tuple), where, f"a tuple of {len(items)} values", value)
            if len(value) != len(items):
                raise Mismatch(f"{where} returned {len(value)} values; {len(items)} are expected")
            pairs = zip(value, items, strict=True)
            return tuple([_conform_part(part, item, i, where) for i, (part, item) in enumerate(pairs, 1)])
        case Named(item):
            _require(isinstance(value, dict) and all(isinstance(k, str) for k in value), where, "a dict", value)
            return {key: conform(part, item, f"{key!r} of {where}") for key, part in value.items()}


def _conform_part(value: Any, returns: Returns, number: int, where: str) -> Any:
    if isinstance(returns, Atom) and _AS_IT_IS.get(returns.name) == type(value).__name__:
        return value
    return conform(value, returns, f"part {number} of {where}")


def _conform_atom(value: Any, name: str, where: str) -> Any:
    kind = type(value).__name__
    is_array = kind in ("ndarray", "Scalar")
    inner = value.array if isinstance(value, Scalar) else value
    match name:
        case "any":
            return _plain(value, where)
        case "array":
            _require(is_array, where, _SPOKEN[name], value)
        case "tensor":
            _require(kind == "Tensor", where, _SPOKEN[name], value)
        case "scalar":
            number = isinstance(value, int | float) and not isinstance(value, bool)
            flat = (is_array or kind == "Tensor") and inner.ndim == 0
            _require(number or flat, where, _SPOKEN[name], value)
        case "int":
            integral = is_array and inner.ndim == 0 and inner.dtype.kind in _INTEGER_KINDS
            _require((isinstance(value, int) and not isinstance(value, bool)) or integral, where, _SPOKEN[name], value)
            return int(inner)
        case "bool":
            truth = is_array and inner.ndim == 0 and inner.dtype.kind == "b"
            _require(isinstance(value, bool) or truth, where, _SPOKEN[name], value)
            return bool(inner)
        case "str":
            _require(isinstance(value, str), where, _SPOKEN[name], value)
        case "none":
            return None
    return inner


def _plain(value: Any, where: str) -> Any:
    """Return nested values with arrays for NumPy scalars; objects do not cross."""
    match value:
        case Scalar(array):
            return array
        case list() | tuple():
            return type(value)(_plain(part, f"part {i} of {where}") for i, part in enumerate(value, 1))
        case dict():
            return {key: _plain(part, f"{key!r} of {where}") for key, part in value.items()}
    _require(not isinstance(value, Unsupported), where, "an array, a number or a list of them", value)
    return value


def _require(holds: bool, where: str, wanted: str, value: Any) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise Mismatch(f"{where} returned {spoken(value)}; {wanted} is expected")


def spoken(value: Any) -> str:
    """Say in words what kind of thing `value` is, without its content."""
    if value is None:
        return "None (is a `return` missing?)"
    if isinstance(value, Unsupported):
        return f"an object of type {value.type_name}" if value.type_name else "an object of a type of its own"
    if type(value).__name__ in ("ndarray", "Scalar", "Tensor"):
        inner = value.array if isinstance(value, Scalar) else value
        what = "a torch tensor" if type(value).__name__ == "Tensor" else "a NumPy array"
        return f"{what} of shape {tuple(inner.shape)}"
    names = {bool: "a bool", int: "an int", float: "a float", complex: "a complex number", str: "a string"}
    names |= {list: "a list", tuple: "a tuple", dict: "a dict"}
    return names.get(type(value), "an object")
