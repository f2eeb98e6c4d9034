"""Frames between judge and sandbox: the judge's side, which believes nothing.

A frame is a little-endian uint32 (the header's length), a JSON header, and the raw bytes of the header's
arrays, little-endian and C-contiguous, in the order in which the header names them. How many bytes follow is
computed from the header alone, in Python integers, and checked against a cap before memory is taken.

    judge   -> sandbox   {"nonce", "op", ...}                    one request
    sandbox -> judge     {"nonce", "status": "ok" | "error" | "callback", ...}

The answer repeats the request's nonce. Whatever else arrives is a protocol violation (`WireError`).
`grader/harness.py` holds the other side; it shares no code with this one, so that it runs alone.
"""

import math
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from grader.harness import dtype_name
from grader.returns import Scalar, Unsupported

MAX_HEADER_BYTES = 1 << 20
MAX_RANK = 8
MAX_DEPTH = 32
MAX_EXTENT = 1 << 62
MAX_CALLBACK_BYTES = 1 << 18
MAX_LAYOUT_BYTES = 16 << 20
_LENGTH = struct.Struct("<I")
_ALIGNMENT = 16  # bytes: what malloc gives, and so what PyTorch may expect

DTYPES = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "bfloat16": 2,
    "complex64": 8,
    "complex128": 16,
}
_Dtype = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "bfloat16", "complex64", "complex128",
]  # fmt: skip
_Dimension = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Hex = Annotated[str, msgspec.Meta(max_length=40)]


class WireError(Exception):
    """Bytes that are not the frame expected next; the text is ours and safe to show."""


class _Node(msgspec.Struct, frozen=True, tag_field="t", forbid_unknown_fields=True):
    pass


class _None(_Node, frozen=True, tag="none"):
    pass


class _Bool(_Node, frozen=True, tag="bool"):
    v: bool


class _Int(_Node, frozen=True, tag="int"):
    v: Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,60}$")]


class _Float(_Node, frozen=True, tag="float"):
    v: _Hex


class _Complex(_Node, frozen=True, tag="complex"):
    re: _Hex
    im: _Hex


class _Str(_Node, frozen=True, tag="str"):
    v: Annotated[str, msgspec.Meta(max_length=65536)]


class _Array(_Node, frozen=True, tag="array"):
    k: Literal["ndarray", "scalar", "tensor"]
    dtype: _Dtype
    shape: Annotated[list[_Dimension], msgspec.Meta(max_length=MAX_RANK)]


class _List(_Node, frozen=True, tag="list"):
    v: list["_Any"]


class _Tuple(_Node, frozen=True, tag="tuple"):
    v: list["_Any"]


class _Dict(_Node, frozen=True, tag="dict"):
    k: list[_Name]
    v: list["_Any"]


class Handle(_Node, frozen=True, tag="handle"):
    """An object that stays in the sandbox."""

    id: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
    type: _Name = ""


class _Unsupported(_Node, frozen=True, tag="unsupported"):
    type: _Name


_Any = _None | _Bool | _Int | _Float | _Complex | _Str | _Array | _List | _Tuple | _Dict | Handle | _Unsupported


class _Reply(msgspec.Struct, frozen=True, tag_field="status", forbid_unknown_fields=True):
    nonce: Annotated[str, msgspec.Meta(max_length=64)]


class Ok(_Reply, frozen=True, tag="ok"):
    """The request was carried out; `value` is decoded by `decode`."""

    value: _Any


class Called(_Reply, frozen=True, tag="callback"):
    """The submission calls a function that was passed to it; the judge must answer."""

    id: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
    value: _Any


class Failed(_Reply, frozen=True, tag="error"):
    """The request could not be carried out; every text is the submission's and must be cleaned."""

    kind: Literal[
        "exception", "memory", "syntax", "missing", "signature", "oversize", "no_gradient", "attribute", "internal",
        "policy", "tampered",
    ]  # fmt: skip
    type: _Name = ""
    line: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] = 0
    column: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] = 0
    name: _Name = ""
    text: Annotated[str, msgspec.Meta(max_length=2000)] = ""


Reply = Ok | Called | Failed
_DECODER = msgspec.json.Decoder(Reply)


class Parser:
    """Takes one frame from a stream: ask `view()` where to put bytes, say with `advance` how many came.

    It never takes a byte beyond its frame, so what follows stays in the pipe, to be noticed there.
    """

    def __init__(self, nonce: str, max_payload_bytes: int) -> None:
        """Expect a reply to the request with this nonce, with arrays of at most so many bytes."""
        self._nonce = nonce
        self._max_payload = max_payload_bytes
        self._stage = "length"
        self._buffer = _memory(_LENGTH.size)
        self._filled = 0
        self._reply: Reply | None = None

    def view(self) -> memoryview:
        """Return the memory that the next bytes belong in; never empty before the frame is whole."""
        return self._buffer[self._filled :]

    def advance(self, count: int) -> bool:
        """Take note of `count` new bytes; True when the frame is whole. Raises WireError."""
        self._filled += count
        while self._filled == len(self._buffer):
            if self._stage == "length":
                (length,) = _LENGTH.unpack(self._buffer)
                if not 0 < length <= MAX_HEADER_BYTES:
                    raise WireError("a frame announced a header of impossible length")
                self._expect("header", length)
            elif self._stage == "header":
                self._reply = _parse_header(bytes(self._buffer), self._nonce)
                self._expect("payload", _payload_size(self._reply, self._max_payload))
            else:
                return True
        return False

    def result(self) -> tuple[Reply, memoryview]:
        """Return the reply and the memory that the bytes of its arrays are in, once `advance` has answered True."""
        if self._reply is None:
            raise WireError("the frame is not whole")
        return self._reply, self._buffer

    def _expect(self, stage: str, size: int) -> None:
        self._stage, self._buffer, self._filled = stage, _memory(size), 0


def _memory(size: int) -> memoryview:
    """Take memory that is not zeroed first: a large answer crosses it once, on its way in."""
    return np.empty(size, np.uint8).data


def _parse_header(header: bytes, nonce: str) -> Reply:
    try:
        reply: Reply = _DECODER.decode(header)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise WireError("a frame's header is not of the protocol") from error
    if reply.nonce != nonce:
        raise WireError("an answer came to a question that was not asked")
    return reply


def _arrays(node: _Any, depth: int = 0) -> Iterator[_Array]:
    if depth > MAX_DEPTH:
        raise WireError("an answer is nested too deeply")
    if isinstance(node, _Array):
        yield node
    elif isinstance(node, _List | _Tuple | _Dict):
        if isinstance(node, _Dict) and (len(node.k) != len(node.v) or len(set(node.k)) != len(node.k)):
            raise WireError("a dict's keys and values do not match")
        for part in node.v:
            yield from _arrays(part, depth + 1)


def _size(node: _Array) -> int:
    if node.k != "tensor" and node.dtype == "bfloat16":
        raise WireError("bfloat16 exists for tensors only")
    if node.k == "scalar" and node.shape:
        raise WireError("a scalar has no dimensions")
    # NumPy refuses (0, 2**40, 2**40), and what is small in 16 bits must be possible in the widest dtype too.
    if math.prod(size or 1 for size in node.shape) * max(DTYPES.values()) > MAX_EXTENT:
        raise WireError("an array has impossible dimensions")
    return math.prod(node.shape) * DTYPES[node.dtype]


def _payload_size(reply: Reply, cap: int) -> int:
    if isinstance(reply, Failed):
        return 0
    if isinstance(reply, Called):  # what the judge computes for a submission stays small
        cap = min(cap, MAX_CALLBACK_BYTES)
    total = sum(_size(node) for node in _arrays(reply.value))
    if total > cap:
        raise WireError("an answer announced more bytes than it may have")
    return total


def decode(reply: Ok | Called, payload: memoryview) -> Any:  # noqa: C901 - one line a type
    """Build the reply's value; its arrays live in `payload`, which is the judge's own, or in copies.

    Arrays become `np.ndarray`, NumPy scalars `returns.Scalar`, tensors `torch.Tensor` (where the judge has
    torch; `Unsupported` otherwise), objects `Handle` or `Unsupported`. Raises WireError.
    """
    offset = 0

    def take(size: int) -> memoryview:
        nonlocal offset
        offset += size
        return payload[offset - size : offset]

    def build(node: _Any) -> Any:
        match node:
            case _None():
                return None
            case _Bool(v) | _Str(v):
                return v
            case _Int(v):
                return int(v) if -(1 << 63) <= int(v) < 1 << 63 else Unsupported("int beyond 64 bits")
            case _Float(v):
                return _unhex(v)
            case _Complex(re, im):
                return complex(_unhex(re), _unhex(im))
            case _Array():
                return _build_array(node, take(_size(node)))
            case _List(v):
                return [build(part) for part in v]
            case _Tuple(v):
                return tuple(build(part) for part in v)
            case _Dict(k, v):
                return {key: build(part) for key, part in zip(k, v, strict=True)}
            case _Unsupported(type=name):
                return Unsupported(clean_name(name))
            case Handle():
                return node

    return build(reply.value)


def _unhex(text: str) -> float:
    try:
        return float.fromhex(text)
    except (ValueError, OverflowError) as error:
        raise WireError("a number is not of the protocol") from error


def _build_array(node: _Array, data: memoryview) -> Any:
    if node.k == "tensor":
        torch = sys.modules.get("torch")
        if torch is None:
            return Unsupported("torch.Tensor")
        dtype = getattr(torch, node.dtype)
        flat = np.frombuffer(data, np.uint8)
        if not flat.size:
            return torch.empty(node.shape, dtype=dtype)
        if flat.__array_interface__["data"][0] % _ALIGNMENT:
            flat = flat.copy()
        if node.dtype == "bool":
            flat = (flat != 0).astype(np.uint8)
        return torch.from_numpy(flat).view(dtype).reshape(node.shape)
    if node.dtype == "bool":  # a byte other than 0 and 1 would be a bool that is neither
        array = np.frombuffer(data, np.uint8) != 0
    else:
        array = np.frombuffer(data, np.dtype(node.dtype).newbyteorder("<"))
        array = array.astype(node.dtype, copy=not array.flags.aligned)
    array = array.reshape(node.shape)
    return Scalar(array) if node.k == "scalar" else array


def clean_name(text: str) -> str:
    """Return a type's or function's name if it can be one, else a neutral word."""
    return text if len(text) <= 80 and all(part.isidentifier() for part in text.split(".")) else "unknown"  # noqa: PLR2004


# --- requests: trusted values, so nothing here is defensive -------------------------------------------------


def encode(header: dict[str, Any], **values: Any) -> list[memoryview]:
    """Encode a request: `header`'s plain fields, and `values` as nodes. Returns buffers to be written in order."""
    payload: list[memoryview] = []
    nodes = {name: _node(value, payload) for name, value in values.items()}
    size = sum(part.nbytes for part in payload)
    text = msgspec.json.encode({**header, **nodes, "size": size})
    return [memoryview(_LENGTH.pack(len(text)) + text), *payload]


def _node(value: Any, payload: list[memoryview]) -> dict[str, Any]:  # noqa: C901, PLR0912 - one line a type
    match value:
        case None:
            return {"t": "none"}
        case bool():
            return {"t": "bool", "v": value}
        case np.ndarray():
            return _array_node(value, payload)
        case np.generic():
            return _array_node(np.asarray(value), payload) | {"k": "scalar"}
        case int():
            return {"t": "int", "v": str(value)}
        case float():
            return {"t": "float", "v": value.hex()}
        case complex():
            return {"t": "complex", "re": value.real.hex(), "im": value.imag.hex()}
        case str():
            return {"t": "str", "v": value}
        case list():
            return {"t": "list", "v": [_node(part, payload) for part in value]}
        case tuple():
            return {"t": "tuple", "v": [_node(part, payload) for part in value]}
        case dict():
            return {"t": "dict", "k": list(value), "v": [_node(part, payload) for part in value.values()]}
        case Handle(number):
            return {"t": "handle", "id": number}
        case np.random.Generator():
            state = value.bit_generator.state
            return {"t": "generator", "name": state["bit_generator"], "state": _plain(state)}
        case Callback():
            return {"t": "callback", "id": value.id}
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "untyped_storage"):
        return _tensor_node(value, payload)
    raise TypeError(f"a hidden test passes a {type(value).__name__}, which cannot cross into the sandbox")


class Callback:
    """A function of the judge's that a submission may call; `calls` counts how often it did."""

    _next_id = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        """Wrap `function`; it runs in the judge, with arguments that crossed the wire."""
        self.function = function
        self.calls = 0
        Callback._next_id += 1
        self.id = Callback._next_id


def _plain(value: Any) -> Any:
    """Turn a bit generator's state into JSON; big integers and arrays become tagged lists."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return {"array": [str(part) for part in value.tolist()], "dtype": str(value.dtype)}
    return str(value) if isinstance(value, int) and abs(value) >= 1 << 53 else value


def _array_node(array: np.ndarray, payload: list[memoryview]) -> dict[str, Any]:
    if (name := dtype_name(array.dtype)) not in DTYPES:
        raise TypeError(f"a hidden test passes an array of {array.dtype}, which cannot cross into the sandbox")
    flat = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1)
    if flat.size:
        payload.append(flat.view(np.uint8).data)
    strides = [stride // array.itemsize for stride in array.strides]
    layout = _layout(array.shape, strides, array.itemsize)
    return {"t": "array", "k": "ndarray", "dtype": name, "shape": list(array.shape), **layout}


def _tensor_node(tensor: Any, payload: list[memoryview]) -> dict[str, Any]:
    name = str(tensor.dtype).removeprefix("torch.")
    plain = tensor.detach().contiguous().reshape(-1)
    if plain.numel():
        payload.append(memoryview(plain.view(sys.modules["torch"].uint8).numpy()))
    layout = _layout(tuple(tensor.shape), list(tensor.stride()), tensor.element_size())
    return {"t": "array", "k": "tensor", "dtype": name, "shape": list(tensor.shape), **layout}


def _layout(shape: tuple[int, ...], strides: list[int], itemsize: int) -> dict[str, Any]:
    """Give the strides (in elements) where they are not C order's, so that the sandbox lays the elements out alike.

    Elements that share memory (broadcast views) and those spread too far apart come out in C order.
    """
    if 0 in shape:
        return {}
    plain, taken = True, 1
    for axis in reversed(range(len(shape))):
        plain = plain and (shape[axis] == 1 or strides[axis] == taken)
        taken *= shape[axis]
    reach = 0
    for stride, size in sorted((abs(stride), size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride <= reach:
            return {}
        reach += (size - 1) * stride
    return {} if plain or (reach + 1) * itemsize > MAX_LAYOUT_BYTES else {"strides": strides}
