"""Our code inside the sandbox: loads a submission and calls it when the judge asks.

It runs as a script (`python -I -B harness.py`), imports nothing of ours, and needs the standard library and NumPy
(and PyTorch where the exercise does). Requests come on descriptor 0, answers leave on descriptor 1; both are
moved away before any of the student's code runs, and what the student prints goes to descriptor 2.

Nothing here decides a verdict, and nothing here is a defence: the student's code shares this process. The
judge (`grader/wire.py`) believes only bytes that have the form it expects. That goes for the policy too: a `Ban` meets
whoever calls what is banned in any of the ways a library offers, and what it reports is evidence. Whoever takes the
process apart (by `ctypes`, or with a copy of the library's source) gets past it.
"""

import ast
import errno
import fnmatch
import functools
import gc
import inspect
import json
import math
import os
import re
import struct
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, NamedTuple

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
_here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH120, PTH100 - pathlib loads slowly
_libraries = os.path.join(_here, "lib")  # noqa: PTH118 - likewise
_collect = gc.collect  # a submission may put another in its place
if os.path.isdir(_libraries):  # noqa: PTH112 - in a sandbox that isolates, Python runs without its own site-packages
    sys.path.append(_libraries)

import numpy as np  # noqa: E402 - the number of threads is read at import

FILENAME = "<submission>"
MAX_DEPTH = 16
MAX_NODES = 20_000
MAX_RANK = 8
MAX_INT = 1 << 63
MAX_STR = 1 << 16
MAX_KEY = 200
MAX_HEADER_BYTES = 1 << 20
MAX_BUFFERS = 256
MAX_CALLBACK_BYTES = 1 << 18
MAX_RETAINED_BYTES = 256 << 20
Node = dict[str, Any]
PLAIN = {"none": type(None), "bool": bool, "int": int, "float": float, "complex": complex, "str": str}
LENGTH = struct.Struct("<I")
JSON = json.JSONEncoder(separators=(",", ":"))
DTYPES = frozenset({
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
})  # fmt: skip
TORCH_DTYPES = DTYPES - {"uint16", "uint32", "uint64"} | {"bfloat16"}


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that cannot be answered with a value; carried to the judge as an `error` reply."""

    def __init__(self, kind: str, **fields: Any) -> None:
        """Say why, in the words of the protocol."""
        super().__init__(kind)
        self.fields = {"kind": kind, **fields}


class Importer:
    """A finder that refuses what the exercise does not offer, with the words Python itself would use."""

    def __init__(self, allowed: Iterable[str], ban: "Ban | None" = None) -> None:
        """Let through the named libraries and the standard one; `ban` is told of each module of PyTorch."""
        self.allowed = frozenset(allowed) | sys.stdlib_module_names
        self.ban = ban

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002 - the finders' protocol
        """Answer None (ask the next finder) or refuse."""
        top = name.partition(".")[0]
        if top not in self.allowed and not top.startswith("_sysconfigdata"):
            if sys._getframe(2).f_globals.get("__name__") == "importlib.util":  # noqa: SLF001 - who asks
                return None  # PyTorch asks whether optional packages are there: that is no error
            raise ModuleNotFoundError(f"No module named {name!r} (not available in this exercise)", name=name)
        if top != "torch" or self.ban is None:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            run, disable = spec.loader.exec_module, self.ban.disable_module

            def run_and_disable(module: types.ModuleType) -> None:
                run(module)
                disable(module)

            spec.loader.exec_module = run_and_disable  # type: ignore[method-assign]
        return spec


class Ban:
    """What of NumPy and PyTorch the exercise asks the student to write, by shell-style patterns."""

    def __init__(self, names: Sequence[str], operators: Sequence[str], violate: Callable[[str], Exception]) -> None:
        """Ban nothing yet; `violate` takes note of a name and returns the exception to raise."""
        self.names = names
        self.is_name = re.compile("|".join(map(fnmatch.translate, names)) or "(?!)").match
        self.operators = operators
        self.violate = violate
        self.kernels: dict[str, set[str]] = {}
        self.dump: Callable[[str], str] = str

    def check(self, tree: ast.AST) -> None:
        """Refuse a source that plainly uses a banned name of NumPy or PyTorch; a name of the student's own is none."""
        used = [(node.lineno, name) for node, name in uses(tree) if any(map(self.is_name, name.split(".")[1:]))]
        if used:
            line, name = min(used)
            raise Refusal("policy", name=name[:200], line=line)

    def override(self) -> None:
        """Put a kernel that raises over each one of each banned operator, for whatever way leads there.

        Every dispatch key with a kernel of its own gets ours: composites, backends, autograd, autocast, functorch,
        tracing. The Meta key stays: it computes shapes alone, and PyTorch registers more there as it is imported.
        """
        import ctypes  # noqa: PLC0415 - with PyTorch only, which has loaded it

        import torch  # noqa: PLC0415 - not in every exercise

        self.dump = dump = torch._C._dispatch_dump  # noqa: SLF001 - the dispatcher has no public way to ask
        libraries: dict[str, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a kernel is overridden
            for pattern in self.operators:
                if not (matching := fnmatch.filter(lines_with(library_index().operators, pattern), pattern)):
                    raise ValueError(f"no operator is called {pattern}")
                for operator in set(matching) - set(self.kernels):
                    space, name = operator.split("::")
                    if space not in libraries:
                        libraries[space] = torch._C._dispatch_library("IMPL", space, "", "the ban", 0)  # noqa: SLF001
                    lines = [line.partition(": registered") for line in dump(operator).splitlines()]
                    keys = {key.removesuffix("[alias]") for key, found, _ in lines if found}
                    registered = filter(str.isidentifier, keys)  # others are inactive: another lies above them
                    stub = self.stub("torch.ops." + operator.replace("::", "."))
                    for key in sorted({*registered, "CPU", "CUDA"} - {"debug", "Meta"}):
                        libraries[space].impl(name, key, stub)
                    self.kernels[operator] = {line for line in dump(operator).splitlines() if "the ban" in line}
        for library in libraries.values():  # its end would undo the ban: Python must find no reference to drop
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))

    def disable(self) -> None:
        """Make functions and classes of PyTorch's modules that have banned names raise, under whatever name they go.

        Their code is replaced in place. What PyTorch computes in Python from honest operators (multi-head attention
        with its weights, flexible attention) calls no operator that could be banned.
        """
        index = library_index()
        for name in {name for pattern in self.names for name in lines_with(index.names, pattern)}:
            if self.is_name(name):
                for module in index.modules[name]:
                    self.disable_name(module, name)

    def disable_module(self, module: types.ModuleType) -> None:
        """Do so in one that is imported later."""
        for name in list(filter(self.is_name, vars(module))):
            self.disable_name(module, name)

    def disable_name(self, module: types.ModuleType, name: str) -> None:
        """Do so for one name, where the module has defined what it stands for."""
        value = vars(module)[name]
        value = getattr(value, "_init_fn", value)  # what an operator defined in Python computes with
        if getattr(value, "__module__", "") == module.__name__:
            stub = self.stub(f"{module.__name__}.{name}").__code__
            for function in functions(value):
                function.__code__ = stub.replace(co_freevars=function.__code__.co_freevars)

    def stub(self, name: str) -> Any:
        """Return a function that raises; its code has the callable among its constants, and so runs in any module."""

        def stub(*_args: Any, **_kwargs: Any) -> None:
            violate: Any = "violate"
            what = "what"
            raise violate(what)

        code, constants = stub.__code__, {"violate": self.violate, "what": name}
        stub.__code__ = code.replace(co_consts=tuple(constants.get(each, each) for each in code.co_consts))
        return stub

    def verify(self) -> None:
        """Refuse to go on where one of our kernels is not on top any more."""
        for operator, kernels in self.kernels.items():
            if not kernels <= set(self.dump(operator).splitlines()):
                raise Refusal("tampered", name="torch.ops." + operator.replace("::", "."))


def functions(value: Any) -> Iterator[types.FunctionType]:
    """Yield the functions that a function wraps, itself first, or that a class defines."""
    if isinstance(value, type):
        for part in list(vars(value).values()):
            if not isinstance(part, type):
                yield from functions(getattr(part, "__func__", part))
    while isinstance(value, types.FunctionType):
        yield value
        value = vars(value).get("__wrapped__")


def uses(tree: ast.AST) -> Iterator[tuple[Any, str]]:
    """Yield each import and use of something of NumPy or PyTorch with its full name, aliases and scopes followed.

    A loop, not a recursion: the depth of the source is the student's.
    """
    pending: list[tuple[ast.AST, dict[str, str]]] = [(tree, {})]
    while pending:
        node, names = pending.pop()
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names = names | bindings(node, names)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node, name) for _, name in imports(node))
        elif name := resolve(node, names):
            yield node, name
        pending += [(child, names) for child in ast.iter_child_nodes(node)]


def bindings(scope: ast.AST, outer: dict[str, str]) -> dict[str, str]:
    """Return the names that a scope binds: to a name of NumPy or PyTorch, or "" to something else."""
    found: dict[str, str] = {}
    pending = list(ast.iter_child_nodes(scope))[::-1]
    while pending:
        node = pending.pop()
        match node:
            case ast.Import() | ast.ImportFrom():
                found.update(imports(node, bound=True))
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.NamedExpr(ast.Name(id=name), value):
                found[name] = resolve(value, outer | found) or found.get(name, "")
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.setdefault(name, "")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.setdefault(name, "")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += list(ast.iter_child_nodes(node))[::-1]
    return found


def imports(node: ast.Import | ast.ImportFrom, *, bound: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the names an import binds with what they stand for, or, not `bound`, with all that is imported."""
    for each in node.names:
        base = f"{'.' * node.level}{node.module or ''}." if isinstance(node, ast.ImportFrom) else ""
        full, name = base + each.name, each.asname or each.name
        if bound and not base and not each.asname:
            full = name = each.name.partition(".")[0]
        if full.partition(".")[0] in ("numpy", "torch"):
            yield name, full.removesuffix(".*")


def resolve(node: ast.AST, names: dict[str, str]) -> str:
    """Return the full name of what an expression means by attributes and literal `getattr`; "" if unknown."""
    parts: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=node, attr=part):
                parts.append(part)
            case ast.Call(func=ast.Name("getattr"), args=[node, ast.Constant(value=str(part)), *_]):
                parts.append(part)
            case ast.Name(id=name) if base := names.get(name, names.get("*", "") and f"{names['*']}.{name}"):
                return ".".join([base, *reversed(parts)])
            case _:
                return ""


class Encoder:
    """Turns a value into a node of the header and the bytes of its arrays; trusts no method of the value."""

    def __init__(self, harness: "Harness", max_bytes: int) -> None:
        """Begin one reply, with arrays of at most so many bytes."""
        self.max_bytes = max_bytes
        self.harness = harness
        self.payload: list[memoryview] = []
        self.nodes = 0
        self.bytes = 0

    def node(self, value: Any, depth: int = 0) -> Node:  # noqa: C901, PLR0912 - one line a type
        """Return the node of a value, and put the bytes of its arrays into `payload`."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Refusal("oversize")
        kind = type(value)
        if value is None:
            return {"t": "none"}
        if kind is bool:
            return {"t": "bool", "v": value}
        if kind is int and -MAX_INT <= value < MAX_INT:
            return {"t": "int", "v": str(value)}
        if kind is float:
            return {"t": "float", "v": value.hex()}
        if kind is complex:
            return {"t": "complex", "re": value.real.hex(), "im": value.imag.hex()}
        if kind is str and len(value) <= MAX_STR:
            return {"t": "str", "v": value.encode("utf-8", "replace").decode()}
        if kind is np.ndarray and dtype_name(value.dtype) in DTYPES and value.ndim <= MAX_RANK:
            return self.array(value, "ndarray")
        if kind.__module__ == "numpy" and isinstance(value, np.generic) and dtype_name(value.dtype) in DTYPES:
            return self.array(np.asarray(value), "scalar")
        if kind in (list, tuple) and depth < MAX_DEPTH:
            return {"t": kind.__name__, "v": [self.node(part, depth + 1) for part in value]}
        if kind is dict and depth < MAX_DEPTH and all(type(key) is str and len(key) <= MAX_KEY for key in value):
            keys = [key.encode("utf-8", "replace").decode() for key in value]
            return {"t": "dict", "k": keys, "v": [self.node(part, depth + 1) for part in value.values()]}
        torch = sys.modules.get("torch")
        if torch is not None and kind in (torch.Tensor, torch.nn.Parameter) and self.crosses(value):
            return self.tensor(value)
        if kind is Kept:
            return {"t": "handle", "id": value.number}
        if self.harness.keeps(value):
            return {"t": "handle", "id": self.harness.keep(value), "type": describe(value)}
        return {"t": "unsupported", "type": describe(value)}

    def array(self, array: np.ndarray, kind: str) -> Node:
        """Return an array's node; its bytes go out in C order, little-endian."""
        self.take(array.nbytes)
        flat = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1)
        if flat.size:
            self.payload.append(flat.view(np.uint8).data)
        return {"t": "array", "k": kind, "dtype": dtype_name(array.dtype), "shape": list(array.shape)}

    @staticmethod
    def crosses(tensor: Any) -> bool:
        """Tell whether a tensor is a plain, dense one of a dtype of the protocol."""
        name = str(tensor.dtype).removeprefix("torch.")
        dense = str(tensor.layout) == "torch.strided" and not tensor.is_meta and not tensor.is_nested
        return name in TORCH_DTYPES and dense and tensor.dim() <= MAX_RANK

    def tensor(self, tensor: Any) -> Node:
        """Return a tensor's node, like an array's."""
        torch = sys.modules["torch"]
        self.take(tensor.numel() * tensor.element_size())
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        if plain.numel():
            self.payload.append(memoryview(plain.view(torch.uint8).numpy()))
        name = str(tensor.dtype).removeprefix("torch.")
        return {"t": "array", "k": "tensor", "dtype": name, "shape": list(tensor.shape)}

    def take(self, size: int) -> None:
        """Count bytes before any are copied: `np.broadcast_to(0, 10**10)` is small until then."""
        self.bytes += size
        if self.bytes > self.max_bytes:
            raise Refusal("oversize")


@functools.cache
def dtype_name(dtype: Any) -> str:
    """Return a NumPy dtype's name; NumPy takes ten microseconds for this."""
    name: str = dtype.name
    return name


def describe(value: Any) -> str:
    """Name a value's type without asking the value."""
    kind = type(value)
    if kind is np.ndarray:
        return "numpy.ndarray_of_" + value.dtype.name if value.dtype.name.isidentifier() else "numpy.ndarray"
    module = kind.__module__ if type(kind.__module__) is str else ""
    prefix = "" if module in ("builtins", "submission", "") else module + "."
    return (prefix + kind.__qualname__).replace("<locals>.", "")[:80]


class Decoder:
    """Builds a request's values; arrays get memory of their own, laid out as the judge says."""

    def __init__(self, harness: "Harness", payload: memoryview) -> None:
        """Begin one request."""
        self.harness = harness
        self.payload = payload
        self.offset = 0

    def value(self, node: Node) -> Any:
        """Return the value of a node."""
        kind = node["t"]
        if kind in PLAIN:
            return self.plain(node)
        if kind == "list":
            return [self.value(part) for part in node["v"]]
        if kind == "tuple":
            return tuple(self.value(part) for part in node["v"])
        if kind == "dict":
            return {key: self.value(part) for key, part in zip(node["k"], node["v"], strict=True)}
        if kind == "handle":
            return self.harness.objects[node["id"]]
        if kind == "callback":
            return self.harness.callback(node["id"])
        if kind == "generator":
            return rebuild_generator(node)
        node["at"] = self.offset  # kept, so that `changed` can compare later
        return self.tensor(node) if node["k"] == "tensor" else self.array(node)

    @staticmethod
    def plain(node: Node) -> Any:
        """Return what a node without parts stands for."""
        match node["t"]:
            case "int":
                return int(node["v"])
            case "float":
                return float.fromhex(node["v"])
            case "complex":
                return complex(float.fromhex(node["re"]), float.fromhex(node["im"]))
            case "none":
                return None
        return node["v"]

    def raw(self, node: Node, itemsize: int) -> memoryview:
        """Take the bytes of an array."""
        size = math.prod(node["shape"]) * itemsize
        self.offset += size
        return self.payload[self.offset - size : self.offset]

    def array(self, node: Node) -> Any:
        """Return a new array (or NumPy scalar) whose elements lie at the strides the judge names."""
        dtype = np.dtype(node["dtype"])
        shape, strides = node["shape"], node.get("strides")
        plain = np.frombuffer(self.raw(node, dtype.itemsize), dtype.newbyteorder("<")).reshape(shape).astype(dtype)
        if node["k"] == "scalar":
            return plain[()]
        if strides is None:
            return plain
        first, size = extent(shape, strides)
        bytewise = [stride * dtype.itemsize for stride in strides]
        array: np.ndarray = np.ndarray(shape, dtype, np.zeros(size, dtype), first * dtype.itemsize, bytewise)
        array[...] = plain
        return array

    def tensor(self, node: Node) -> Any:
        """Return a new tensor, likewise."""
        torch = sys.modules["torch"]
        dtype = getattr(torch, node["dtype"])
        itemsize = torch.empty(0, dtype=dtype).element_size()
        shape, strides = node["shape"], node.get("strides")
        flat = np.frombuffer(self.raw(node, itemsize), np.uint8).copy()
        if not flat.size:
            return torch.empty(shape, dtype=dtype)
        plain = torch.from_numpy(flat).view(dtype).reshape(shape)
        if strides is None:
            return plain
        _, size = extent(shape, strides)
        return torch.zeros(size, dtype=dtype).as_strided(shape, strides).copy_(plain)


def extent(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Return where in memory the first element lies, and how many elements the whole takes."""
    reach = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    first = -sum(part for part in reach if part < 0)
    return first, first + sum(part for part in reach if part > 0) + 1


def rebuild_generator(node: Node) -> np.random.Generator:
    """Return a generator that draws what the judge's would draw next."""

    def thaw(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"array", "dtype"}:
            return np.array([int(part) for part in value["array"]], dtype=value["dtype"])
        if isinstance(value, dict):
            return {key: thaw(part) for key, part in value.items()}
        return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value

    bits = getattr(np.random, node["name"])()
    bits.state = thaw(node["state"])
    return np.random.Generator(bits)


class Harness:
    """The state of one sandbox: the student's module, the objects that stay here, what was passed so far."""

    def __init__(
        self, send: Callable[[Node, list[memoryview]], None], receive: Callable[[], tuple[Node | None, memoryview]]
    ) -> None:
        """Answer with `send` to what `receive` gives; it gives None when the judge hangs up."""
        self.send = send
        self.receive = receive
        self.max_answer_bytes = 64 << 20
        self.module: types.ModuleType | None = None
        self.objects: dict[int, Any] = {}
        self.retained: list[tuple[str, dict[int | str, Node], dict[int | str, Any], memoryview]] = []
        self.retained_bytes = 0
        self.nonce = ""
        self.lock = threading.RLock()
        self.ban: Ban | None = None
        self.violation: Node = {}

    # --- requests, one method each

    def op_warm(self, request: Node, decoder: Decoder) -> dict[str, str]:  # noqa: ARG002 - as every request
        """Import the libraries: all that can be done before the exercise is known, and more than once."""
        versions = {"python": sys.version.split()[0], "numpy": np.__version__}
        square = np.ones((128, 128))
        square @ square  # BLAS takes its working memory: no submission is charged for that
        keep_freed_memory()
        if request["torch"]:
            versions["torch"] = warm_torch()
        return versions

    def op_hello(self, request: Node, decoder: Decoder) -> dict[str, str]:
        """Import what the exercise offers, then set the limits that hold from here on."""
        self.max_answer_bytes = request["max_answer_bytes"]
        versions = self.op_warm(request, decoder)
        if request["names"] or request["operators"]:
            self.ban = Ban(request["names"], request["operators"], self.violate)
        if self.ban is not None and request["torch"]:
            self.ban.override()
            self.ban.disable()
        if request["modules"]:
            sys.meta_path.insert(0, Importer(request["modules"], self.ban))
        if request["memory_bytes"]:
            limit_memory(request["memory_bytes"])
        if request.get("processes") and _libraries in sys.path:
            limit_processes(request["processes"])
        forbid_exec()
        gc.freeze()  # none of the libraries is garbage: to look for some is quick
        return versions

    def op_load(self, request: Node, decoder: Decoder) -> None:
        """Run the student's file as a module called `submission` and look whether it defines what it must.

        The policy's look at the source comes first, and here, not in the judge: deep nesting, integers of a million
        digits and the like meet the sandbox's limits, and none of the student's code has run yet.
        """
        source = decoder.value(request["source"])
        module = types.ModuleType("submission")
        module.__file__ = FILENAME
        sys.modules["submission"] = module
        try:
            code = compile(source, FILENAME, "exec", dont_inherit=True)
        except (MemoryError, RecursionError):
            raise Refusal("syntax", text="the code is nested too deeply") from None
        if self.ban is not None:
            self.ban.check(ast.parse(source, FILENAME))
        exec(code, module.__dict__)  # noqa: S102 - the point of the sandbox
        self.module = module
        for wanted in request["interface"]:
            self.check_callable(wanted)

    def check_callable(self, wanted: Node) -> None:
        """Refuse a module that lacks a function or class, or cannot be called as the judge will call it."""
        owner: Any = self.module
        *path, name = wanted["name"].split(".")
        for part in path:
            owner = getattr(owner, part)
        if not callable(getattr(owner, name, None)):
            raise Refusal("missing", name=wanted["name"])
        if wanted["is_class"] and not isinstance(getattr(owner, name), type):
            raise Refusal("missing", name=wanted["name"])
        try:
            signature = inspect.signature(getattr(owner, name))
        except (TypeError, ValueError):
            return  # a built-in or a compiled function: the call itself will tell
        try:
            positional = [None] * (wanted["positional"] + len(path))
            signature.bind(*positional, **dict.fromkeys(wanted["keywords"]))
        except TypeError:
            raise Refusal("signature", name=wanted["name"], text=str(signature)[:200]) from None

    def op_call(self, request: Node, decoder: Decoder) -> Any:
        """Call a function of the module, or a method of an object that stays here."""
        function = self.target(request["target"])
        args = decoder.value(request["args"])
        kwargs = decoder.value(request["kwargs"])
        self.retain(request, args, kwargs, decoder.payload)
        if request.get("record"):
            return self.record(function, args, kwargs)
        return function(*args, **kwargs)

    def target(self, target: Node) -> Any:
        """Return the function of the module, or the method of an object, that is to be called."""
        owner: Any = self.objects[target["handle"]] if "handle" in target else self.module
        return getattr(owner, target["name"])

    def record(self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Call with every floating tensor as a leaf that requires grad, and keep the graph."""
        leaves = [tensor.requires_grad_() for tensor in floating_tensors([args, kwargs])]
        output = function(*args, **kwargs)
        return [output, Kept(self.keep(Recording(output, leaves)))]

    def op_backward(self, request: Node, decoder: Decoder) -> list[Any]:
        """Return the gradients of a recording's leaves for the judge's cotangent."""
        import torch  # noqa: PLC0415 - not in every exercise

        recording = self.objects[request["handle"]]
        outputs = floating_tensors([recording.output])
        if not any(output.requires_grad for output in outputs):
            raise Refusal("no_gradient")
        cotangents = decoder.value(request["cotangents"])
        parameters = recording.leaves
        if "module" in request:
            named = dict(self.objects[request["module"]].named_parameters())
            for name in request["parameters"]:
                if name not in named:
                    raise Refusal("attribute", name=name)
            parameters = [named[name] for name in request["parameters"]]
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
        found = gradients([o for o, _ in pairs], parameters, [c for _, c in pairs])
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]

    def op_get(self, request: Node, decoder: Decoder) -> Any:  # noqa: ARG002 - as every request
        """Read an attribute of an object that stays here."""
        missing = object()
        value = getattr(self.objects[request["handle"]], request["name"], missing)
        if value is missing:
            raise Refusal("attribute", name=request["name"])
        return value

    def op_hold(self, request: Node, decoder: Decoder) -> "Kept":
        """Keep a value here and answer with its handle."""
        return Kept(self.keep(decoder.value(request["value"])))

    def op_fetch(self, request: Node, decoder: Decoder) -> Any:  # noqa: ARG002 - as every request
        """Return the present content of what is held."""
        return self.objects[request["handle"]]

    def op_load_state(self, request: Node, decoder: Decoder) -> None:
        """Give a torch module new parameters and buffers, in their dtype."""
        module, state = self.objects[request["handle"]], decoder.value(request["state"])
        for tensor in floating_tensors(state)[:1]:
            module.to(tensor.dtype)
        module.load_state_dict(state)

    def op_state(self, request: Node, decoder: Decoder) -> dict[str, Any]:  # noqa: ARG002 - as every request
        """Return a torch module's parameters and buffers by name."""
        return dict(self.objects[request["handle"]].state_dict())

    def op_changed(self, request: Node, decoder: Decoder) -> list[list[Any]]:  # noqa: ARG002 - as every request
        """Name the arguments, of all calls of this test, that are not as they were sent."""
        changed: list[list[Any]] = []
        for call, (name, nodes, values, payload) in enumerate(self.retained):
            changed += [[call, name, label] for label, node in nodes.items() if not same(node, values[label], payload)]
        return changed

    def op_echo(self, request: Node, decoder: Decoder) -> Any:
        """Return a value as it came: what a call costs without a student's code."""
        return decoder.value(request["value"])

    def op_flush(self, request: Node, decoder: Decoder) -> None:  # noqa: ARG002 - as every request
        """Look once more whether the policy was kept: the last request of a judging."""
        if self.ban is not None:
            self.ban.verify()

    def violate(self, name: str) -> Exception:
        """Take note that something banned was called; callable from any thread.

        The request under way is answered at once and the process ends, so that to catch the exception is in vain.
        Between two requests the next one is answered so.
        """
        frame: types.FrameType | None = sys._getframe()  # noqa: SLF001 - the way to walk the stack
        while frame is not None and frame.f_code.co_filename != FILENAME:
            frame = frame.f_back
        with self.lock:
            self.violation = {"kind": "policy", "name": name[:200], "line": frame.f_lineno if frame else 0}
            if self.nonce:
                self.reply({"status": "error", **self.violation})
                os._exit(0)
        return RuntimeError(f"{name} is not allowed in this exercise")

    # --- objects that stay, arguments that are watched

    def keeps(self, value: object) -> bool:
        """Tell whether a value is one the judge may go on talking to: the student's own object or an iterator."""
        kind = type(value)
        torch = sys.modules.get("torch")
        is_module = torch is not None and isinstance(value, torch.nn.Module)
        is_array = isinstance(value, np.ndarray | np.generic) or (torch is not None and isinstance(value, torch.Tensor))
        return not is_array and (kind.__module__ == "submission" or kind is types.GeneratorType or is_module)

    def keep(self, value: object) -> int:
        """Let a value stay here, and return its number."""
        number = len(self.objects)
        self.objects[number] = value
        return number

    def retain(self, request: Node, args: list[Any], kwargs: dict[str, Any], payload: memoryview) -> None:
        """Remember what was passed, so that `changed` can look at it again; the oldest goes first."""
        nodes: dict[int | str, Node] = {**dict(enumerate(request["args"]["v"]))}
        nodes.update(zip(request["kwargs"]["k"], request["kwargs"]["v"], strict=True))
        values: dict[int | str, Any] = {**dict(enumerate(args)), **dict(kwargs.items())}
        self.retained.append((request["target"]["name"], nodes, values, payload))
        self.retained_bytes += len(payload)
        while self.retained_bytes > MAX_RETAINED_BYTES and len(self.retained) > 1:
            self.retained_bytes -= len(self.retained.pop(0)[3])

    def callback(self, number: int) -> Callable[..., Any]:
        """Return a function that asks the judge; it may be called from any thread."""

        def function(*args: Any) -> Any:
            with self.lock:
                try:
                    self.reply({"status": "callback", "id": number}, list(args))
                except Refusal:
                    raise ValueError("the function cannot be evaluated at so large an argument") from None
                request, payload = self.receive()
                if request is not None:
                    self.nonce = request["nonce"]
                if request is None or request["op"] != "answer":
                    raise ValueError("the function could not be evaluated at this argument")
                return Decoder(self, payload).value(request["value"])

        return function

    # --- the loop

    def reply(self, fields: Node, value: Any = None) -> None:
        """Send one reply; not while another thread waits for the judge to answer its callback."""
        with self.lock:
            is_call = fields["status"] == "callback"
            encoder = Encoder(
                self, min(MAX_CALLBACK_BYTES, self.max_answer_bytes) if is_call else self.max_answer_bytes
            )
            if fields["status"] != "error":
                fields["value"] = encoder.node(value)
            self.send({"nonce": self.nonce, **fields}, encoder.payload)
            if not is_call:
                self.nonce = ""  # answered

    def serve(self, number: float = math.inf) -> None:
        """Answer so many requests, or until the judge hangs up."""
        while number > 0:
            request, payload = self.receive()
            if request is None:
                return
            self.handle(request, payload)
            number -= 1

    def forget(self) -> None:
        """Let go of the objects and arguments of the test before."""
        self.objects.clear()
        self.retained.clear()
        self.retained_bytes = 0
        _collect()  # what the student's code left in cycles, too: no test finds less memory for those before

    def handle(self, request: Node, payload: memoryview) -> None:
        """Carry out one request and reply; the first of each test says so."""
        self.nonce = request["nonce"]
        operation = getattr(self, "op_" + request["op"])
        if self.violation:
            self.reply({"status": "error", **self.violation})
            return
        try:
            if request.get("first"):
                self.forget()
            value = operation(request, Decoder(self, payload))
            self.reply({"status": "ok"}, value)
        except Refusal as refusal:
            self.reply({"status": "error", **refusal.fields})
        except BaseException as error:  # noqa: BLE001 - whatever a student's code raises is an answer
            self.reply({"status": "error", **explain(error)})


class Kept:
    """The number of an object that stays here; its reply is a handle."""

    def __init__(self, number: int) -> None:
        """Keep the number."""
        self.number = number


class Recording:
    """The output of a recorded call and the leaves it was computed from."""

    def __init__(self, output: Any, leaves: list[Any]) -> None:
        """Keep both, and with them the graph."""
        self.output = output
        self.leaves = leaves


def gradients(outputs: list[Any], inputs: list[Any], cotangents: list[Any]) -> tuple[Any, ...]:
    """Return the gradients of `inputs`, None where there is none, for cotangents shaped like the outputs.

    As `torch.autograd.grad` does while it keeps the graph. With explicit cotangents that imports SymPy first: over
    half a second in each process.
    """
    from torch.autograd import graph  # noqa: PLC0415 - not in every exercise

    found: tuple[Any, ...] = graph._engine_run_backward(  # noqa: SLF001 - the public way to it is the slow one
        tuple(outputs),
        tuple(cotangents),
        True,  # noqa: FBT003 - keep the graph; by position, as the engine takes it
        False,  # noqa: FBT003 - no graph of the gradients
        tuple(inputs),
        allow_unreachable=True,
        accumulate_grad=False,
    )
    return found


def floating_tensors(value: Any) -> list[Any]:
    """List the floating tensors in nested lists, tuples and dicts, in order."""
    torch = sys.modules["torch"]
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in floating_tensors(part)]


def same(node: Node, value: Any, payload: memoryview) -> bool:
    """Tell whether `value` still is what `node` and `payload` said when it was sent."""
    kind = node["t"]
    if kind in ("list", "tuple"):
        if type(value).__name__ != kind or len(value) != len(node["v"]):
            return False
        return all(same(part, item, payload) for part, item in zip(node["v"], value, strict=True))
    if kind == "dict":
        if type(value) is not dict or list(value) != node["k"]:
            return False
        return all(same(part, value[key], payload) for key, part in zip(node["k"], node["v"], strict=True))
    if kind in PLAIN:
        return type(value) is PLAIN[kind] and repr(value) == repr(Decoder.plain(node))
    if kind != "array":
        return True  # an object, a function or a generator: these may change
    torch: Any = sys.modules.get("torch")
    kinds: dict[str, Any] = {"scalar": np.generic, "ndarray": np.ndarray, "tensor": getattr(torch, "Tensor", ())}
    if not isinstance(value, kinds[node["k"]]) or list(value.shape) != node["shape"]:
        return False
    if str(value.dtype).removeprefix("torch.") != node["dtype"]:
        return False
    if node["k"] == "tensor":
        value = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return bool(value.tobytes() == payload[node["at"] : node["at"] + value.nbytes].tobytes())


def explain(error: BaseException) -> Node:
    """Describe an exception: its type, the line of the student's file it came from, and its text."""
    line = 0
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILENAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    kind = type(error)
    if isinstance(error, SyntaxError) and error.filename == FILENAME and not line:
        text = str(error.msg)[:200]
        return {"kind": "syntax", "line": error.lineno or 0, "column": max(error.offset or 0, 0), "text": text}
    try:
        text = str(error)[:500].encode("utf-8", "replace").decode()
    except BaseException:  # noqa: BLE001 - a student's __str__ may do anything
        text = ""
    kinds = {"kind": "memory" if isinstance(error, MemoryError) else "exception"}
    return {**kinds, "type": kind.__name__[:80], "line": line, "text": text}


@functools.cache
def warm_torch() -> str:
    """Import PyTorch and compute a first gradient, in one thread; returns the version. A slot has done it already."""
    gc.disable()  # nothing of it is garbage, and to look for some takes a tenth of the time
    import torch  # noqa: PLC0415 - not in every exercise

    gc.enable()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    warm = torch.ones(2, 2, requires_grad=True)
    torch.autograd.grad((warm @ warm).sum(), warm)
    library_index()
    return str(torch.__version__.split("+")[0])


class Index(NamedTuple):
    """What PyTorch has, to be searched as text: to look at each name by itself would copy memory a slot shares."""

    operators: str
    names: str
    modules: dict[str, list[types.ModuleType]]
    """The modules in which a name stands."""


@functools.cache
def library_index() -> Index:
    """Return the names of PyTorch's operators, and those in its modules, a line each. A slot has made it already."""
    import torch  # noqa: PLC0415 - not in every exercise

    modules: dict[str, list[types.ModuleType]] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("torch."):
            for each in vars(module):
                modules.setdefault(each, []).append(module)
    operators = torch._C._dispatch_get_all_op_names()  # noqa: SLF001 - the dispatcher has no public way to ask
    return Index("\n".join(operators), "\n".join(modules), modules)


def lines_with(text: str, pattern: str) -> list[str]:
    """Return the lines of `text` that hold the longest plain part of a shell-style pattern: those that may match."""
    part = max(re.split(r"[*?]", pattern), key=len) if "[" not in pattern else ""
    if not part:
        return text.split("\n")
    found, begin = [], text.find(part)
    while begin >= 0:
        end = text.find("\n", begin)
        end = end if end >= 0 else len(text)
        found.append(text[text.rfind("\n", 0, begin) + 1 : end])
        begin = text.find(part, end)
    return found


def limit_processes(number: int) -> None:
    """Allow so many processes and threads; the kernel counts all of the user, who has to be the sandbox's own."""
    import resource  # noqa: PLC0415 - as below

    resource.setrlimit(resource.RLIMIT_NPROC, (number, number))


def limit_memory(allowance: int) -> None:
    """Allow so many bytes of private memory beyond what the libraries have taken, and no core files."""
    import resource  # noqa: PLC0415 - the judge, which imports this module too, does not need it

    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + allowance,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def keep_freed_memory() -> None:
    """Have the allocator reuse what is freed, of up to 32 MiB, where it would give it back and fault it in again.

    How often it does that depends on the order of all calls before: the same call took half as long again at times.
    """
    import ctypes  # noqa: PLC0415 - as below

    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(mmap_threshold, 32 << 20)


def use_large_pages() -> None:
    """Have the kernel gather this process's memory in pages of 2 MiB, where it knows how (Linux 6.1).

    A fork copies an entry for each page, and its end takes each back: 20 ms with PyTorch, 2 with large pages.
    """
    import ctypes  # noqa: PLC0415 - as above

    libc = ctypes.CDLL(None)
    large, collapse = 2 << 20, 25
    with open("/proc/self/maps", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - a file of the kernel
        areas = [line.split() for line in file]
    for where, rights, _, _, _, *name in areas:
        if rights == "rw-p" and name in ([], ["[heap]"]):
            first, end = (int(part, 16) for part in where.split("-"))
            for start in range(-(-first // large) * large, end - large + 1, large):
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(large), collapse)


def forbid_exec() -> None:
    """Let no other program be started from here on: another Python would know nothing of the policy's ban."""
    import ctypes  # noqa: PLC0415 - NumPy has loaded it

    calls = {"x86_64": (59, 322), "aarch64": (221, 281)}[os.uname().machine]  # execve, execveat
    load, equal, answer = 0x20, 0x15, 0x06
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 0),  # the call's number
            (equal, 2, 0, calls[0]),
            (equal, 1, 0, calls[1]),
            (answer, 0, 0, 0x7FFF0000),  # allow
            (answer, 0, 0, 0x00050000 | errno.EPERM),
        )
    )
    code = ctypes.create_string_buffer(program)
    filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, by_filter, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), "other programs cannot be forbidden")


def connect() -> Any:
    """Return a connection to the judge's socket where the engine has put one beside this file, else None."""
    path = os.path.join(_here, "channel")  # noqa: PTH118 - as above
    if not os.path.exists(path):  # noqa: PTH110 - as above
        return None
    import _socket  # noqa: PLC0415 - only here; the module in Python around it takes 2 ms

    connection = _socket.socket(_socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        return None
    return connection


def change_to(connection: Any, *descriptors: int) -> None:
    """Put a connection in the place of both descriptors, if the judge goes on there: else it hangs up."""
    try:
        if connection.recv(1, 2):  # MSG_PEEK: the request stays to be read
            for descriptor in descriptors:
                os.dup2(connection.fileno(), descriptor, inheritable=False)
    except OSError:
        pass
    connection.close()


def main() -> None:
    """Move the protocol away from the standard descriptors, then serve."""
    requests = os.dup(0)
    answers = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    sys.stdout = os.fdopen(
        1, "w", buffering=1, encoding="utf-8", errors="backslashreplace"
    )  # a line at a time: the process is killed

    def read(size: int) -> memoryview:
        view = np.empty(size, np.uint8).data  # not zeroed first
        done = 0
        while done < size:
            count = os.readv(requests, [view[done:]])
            if not count:
                raise EOFError
            done += count
        return view.toreadonly()

    def receive() -> tuple[Node | None, memoryview]:
        try:
            request = json.loads(str(read(LENGTH.unpack(read(LENGTH.size))[0]), "utf-8"))
            return request, read(request["size"])
        except EOFError:
            return None, memoryview(b"")

    def send(header: Node, payload: list[memoryview]) -> None:
        text = JSON.encode(header).encode()
        if len(text) > MAX_HEADER_BYTES:
            raise Refusal("oversize")
        pending = [memoryview(LENGTH.pack(len(text)) + text), *payload]
        while pending:
            count = os.writev(answers, pending[:MAX_BUFFERS])
            whole = 0
            while whole < len(pending) and count >= pending[whole].nbytes:
                count -= pending[whole].nbytes
                whole += 1
            del pending[:whole]
            if count:
                pending[0] = pending[0][count:]

    harness = Harness(send, receive)
    connection = connect()
    harness.serve(1)
    if connection is not None:
        change_to(connection, requests, answers)
    harness.serve()
    os._exit(0)


if __name__ == "__main__":
    main()
