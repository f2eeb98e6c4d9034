"""Exercises: one folder each, found by name, loaded, validated, and given a version.

A folder holds `exercise.toml`, `statement.md`, `starter.py`, `public_tests.py`, `hidden_tests.py` and
`wrong/*.py`; its reference is `reference/<module>.py` beside the folder that holds the exercises, where
`<module>` is the exercise's name with `-` written `_`. Nothing registers an exercise: a folder is one.
"""

import ast
import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from grader.errors import ExerciseError, NotFound, UsageError
from grader.returns import ReturnsError, parse_returns

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_SOURCE_BYTES = 256 * 1024
_TORCH_MEMORY_MIB = 2048
_MAX_LIMIT = 100_000
_MAX_NAME = 60
_BANNED_NAME = re.compile(r"(?=.*[A-Za-z_]{3})[\w*?]+", re.ASCII)
_BANNED_OPERATOR = re.compile(r"[\w*?]+::(?=.*[A-Za-z_]{3})[\w*?.]+", re.ASCII)
_MOST_SUITES = 32
_FILES = ("exercise.toml", "statement.md", "starter.py", "public_tests.py", "hidden_tests.py")
_CAUGHT_BY = re.compile(r"^Caught by (test_\w+(?:, test_\w+)*)\.$", re.MULTILINE)


Isolation = Literal["container", "fork"]
"""What each sandbox has of its own: all it consists of, or what is forked from a process that has the libraries."""


Device = Literal["cpu", "cuda"]
"""Where the arguments of a submission's calls are, and so where it computes."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a submission may spend: seconds of wall time, MiB of memory, of one answer, of prints; what it may hold.

    Processes (threads count), processor cores, MiB and number of files are limited by engines that isolate.
    """

    import_seconds: float = 5.0
    call_seconds: float = 2.0
    judging_seconds: float = 30.0
    memory_mib: int = 512
    answer_mib: int = 64
    printed_mib: int = 64
    processes: int = 64
    cores: float = 1.0
    scratch_mib: int = 64
    scratch_files: int = 4096


class Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function a submission must define, or a method of a class it must define."""

    name: str
    signature: str
    returns: str


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class a submission must define; `signature` leaves `self` out."""

    name: str
    signature: str
    methods: list[Function] = []
    attributes: dict[str, str] = {}


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a submission must not use: names in NumPy and PyTorch, operators of PyTorch, by shell-style patterns."""

    names: list[str] = []
    operators: list[str] = []


class _Toml(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    track: str
    difficulty: int
    kind: Literal["numpy", "torch"]
    versions: dict[str, str]
    devices: list[Device] = msgspec.field(default_factory=lambda: ["cpu"])
    compiles: bool = False
    isolation: Isolation = "fork"
    batched: bool = False
    limits: Limits = Limits()
    functions: list[Function] = []
    classes: list[Class] = []
    policy: Policy = Policy()


@dataclass(frozen=True)
class Wrong:
    """A plausible mistake: its source, what to tell the student, and the tests that catch it."""

    name: str
    path: Path
    source: bytes
    explanation: str
    caught_by: tuple[str, ...]


@dataclass(frozen=True)
class Exercise:
    """One loaded and validated exercise folder."""

    name: str
    folder: Path
    reference: Path
    toml: _Toml
    wrong: tuple[Wrong, ...]
    chosen: Device | None = field(default=None, kw_only=True)
    """What `on` has chosen."""

    @property
    def devices(self) -> list[Device]:
        """Where a submission may be judged; the first unless it says otherwise."""
        return self.toml.devices

    @property
    def device(self) -> Device:
        """Where a submission is judged."""
        return self.chosen or self.devices[0]

    def on(self, device: str) -> Self:
        """Return the exercise as it is judged on a device; nothing stands for the default. Raises UsageError E2140."""
        if not device:
            return self
        for each in self.devices:
            if each == device:
                return replace(self, chosen=each)
        cause = f"exercise.toml says {', '.join(self.devices)}"
        hint = f"--device {self.devices[0]}, or leave it out"
        raise UsageError("E2140", f"{self.name} is not judged on {device[:_MAX_NAME]!r}", cause=cause, hint=hint)

    def as_sent(self, device: str) -> Self:
        """Return the exercise as it was asked for once; on its default where that device is no longer offered."""
        return self.on(device) if device in self.devices else self

    def on_processor(self) -> Self:
        """Return the exercise as its tests' mathematics run without a GPU, whatever its devices: for its authors."""
        return replace(self, chosen="cpu")

    @property
    def compiles(self) -> bool:
        """Whether submissions bring kernels that are compiled in the sandbox, on a GPU."""
        return self.toml.compiles and self.device == "cuda"

    @property
    def needs(self) -> frozenset[str]:
        """What a sandbox must have besides the processor: see `grader.engine.Engine.offers`."""
        found = {"cuda"} if self.device == "cuda" else set()
        return frozenset(found | {"kernels"} if self.compiles else found)

    @property
    def title(self) -> str:
        """One line that names the exercise to a person."""
        return self.toml.title

    @property
    def track(self) -> str:
        """The part of the catalogue the exercise belongs to."""
        return self.toml.track

    @property
    def difficulty(self) -> int:
        """From 1 (first week) to 5."""
        return self.toml.difficulty

    @property
    def kind(self) -> Literal["numpy", "torch"]:
        """What a submission can import besides the standard library."""
        return self.toml.kind

    @property
    def isolation(self) -> Isolation:
        """The least that its sandboxes must have of their own, whatever a deployment allows."""
        return self.toml.isolation

    @property
    def batched(self) -> bool:
        """Whether the reference takes a further first axis of all floating arrays for a batch."""
        return self.toml.batched

    @property
    def limits(self) -> Limits:
        """What a submission may spend."""
        return self.toml.limits

    @property
    def policy(self) -> Policy:
        """What a submission must not use."""
        return self.toml.policy

    def without_policy(self) -> "Exercise":
        """Return the exercise as it is judged where staff have overruled the policy; its version stays."""
        return replace(self, toml=msgspec.structs.replace(self.toml, policy=Policy()))

    @property
    def functions(self) -> list[Function]:
        """Functions a submission must define."""
        return self.toml.functions

    @property
    def classes(self) -> list[Class]:
        """Classes a submission must define."""
        return self.toml.classes

    @property
    def module(self) -> str:
        """The exercise's name as a Python module name."""
        return self.name.replace("-", "_")

    @cached_property
    def statement(self) -> str:
        """The text a student works from (Markdown)."""
        return (self.folder / "statement.md").read_text(encoding="utf-8")

    @cached_property
    def starter(self) -> str:
        """The file a student begins with."""
        return (self.folder / "starter.py").read_text(encoding="utf-8")

    @cached_property
    def version(self) -> str:
        """Content hash (16 hex digits of SHA-256) over everything that can change a verdict."""
        digest = hashlib.sha256()
        files = [self.folder / name for name in _FILES]
        files += [wrong.path for wrong in self.wrong]
        for path in [*files, self.reference]:
            label = path.relative_to(self.folder) if path != self.reference else "reference"
            content = path.read_bytes()
            digest.update(f"{label}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]

    def is_timed(self, suite: str) -> bool:
        """Tell whether a test of the suite asks for `speed`."""
        return _is_timed(self.tests(suite), self.version)

    def tests(self, suite: str) -> Path:
        """Return the path of the `hidden` or `public` tests."""
        return self.folder / f"{suite}_tests.py"

    def test_names(self) -> list[str]:
        """Return the names of the hidden tests."""
        return [test.name for test in _test_functions(_parse(self.tests("hidden")))]


@lru_cache(_MOST_SUITES)
def _is_timed(path: Path, _version: str) -> bool:
    tests = _test_functions(_parse(path))
    return any(argument.arg == "speed" for test in tests for argument in test.args.args)


@dataclass(frozen=True)
class Published(Exercise):
    """An exercise as a server shows it: without hidden tests, reference and wrong files."""

    published_version: str

    @cached_property
    def version(self) -> str:
        """What the server says: the files that it is a hash of are not all here."""
        return self.published_version


def published(told: dict[str, Any], folder: Path) -> Published:
    """Return the exercise that a server tells of; `folder` holds what it gave of the files.

    Raises msgspec.ValidationError where something is missing or unknown.
    """
    toml = msgspec.convert({key: told[key] for key in _Toml.__struct_fields__ if key in told} | {"versions": {}}, _Toml)
    version = str(told.get("version", ""))
    return Published(str(told["name"]), folder, folder / "reference.py", toml, (), version)


def roots() -> list[Path]:
    """Return the folders searched for exercises: `GRADER_EXERCISES` first, then our own.

    Each holds one folder an exercise, with `reference/` either inside it or beside it.
    """
    own = Path(__file__).parent / "content" / "exercises"
    if not own.is_dir():
        own = Path(__file__).parent.parent / "exercises"
    named = os.environ.get("GRADER_EXERCISES", "")
    return [Path(part) for part in named.split(os.pathsep) if part] + [own]


def names() -> list[str]:
    """Return the names of all exercises, sorted."""
    found = {path.parent.name for root in roots() for path in root.glob("*/exercise.toml")}
    return sorted(found)


def load(name: str) -> Exercise:
    """Load and validate the exercise called `name`.

    Raises NotFound with the nearest name, or ExerciseError with file, line and remedy.
    """
    for root in roots():
        if len(name) <= _MAX_NAME and NAME.fullmatch(name) and (root / name).is_dir():
            return load_folder(root / name)
    near = difflib.get_close_matches(name.replace("_", "-").lower(), names(), n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else "`grader list` shows every exercise"
    raise NotFound("E5101", f"there is no exercise called {name[:_MAX_NAME]!r}", hint=hint)


def load_folder(folder: Path) -> Exercise:
    """Load and validate one exercise folder; raises ExerciseError."""
    folder = folder.resolve()
    if not NAME.fullmatch(folder.name):
        raise ExerciseError(
            "E2201",
            f"{folder.name!r} cannot be an exercise's name",
            cause=f"{folder}:0: names are small letters and digits in words joined by single hyphens",
            hint="rename the folder, for example `batch-norm`",
        )
    for file in _FILES:
        if not (folder / file).is_file():
            raise _malformed(folder / file, 0, "the file is missing", "see `grader new --help` for a whole folder")
    _text(folder / "statement.md")
    toml = _read_toml(folder / "exercise.toml")
    starter = _parse(folder / "starter.py")
    reference = _find_reference(folder)
    _check_interface(toml, folder, starter, folder / "starter.py")
    _check_interface(toml, folder, _parse(reference), reference)
    for file in ("public_tests.py", "hidden_tests.py"):
        _check_tests(folder / file)
    hidden = {node.name for node in _test_functions(_parse(folder / "hidden_tests.py"))}
    wrong = tuple(_read_wrong(path, hidden) for path in sorted((folder / "wrong").glob("*.py")))
    return Exercise(name=folder.name, folder=folder, reference=reference, toml=toml, wrong=wrong)


def _malformed(path: Path, line: int, cause: str, hint: str) -> ExerciseError:
    return ExerciseError("E2202", f"the exercise is malformed: {path.name}", cause=f"{path}:{line}: {cause}", hint=hint)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _malformed(path, line, "not UTF-8 text", "save the file as UTF-8") from error


def _read_toml(path: Path) -> _Toml:
    text = _text(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise _malformed(path, line, str(error), "mend the TOML at this line") from error
    if raw.get("kind") == "torch" and isinstance(raw.setdefault("limits", {}), dict):
        raw["limits"].setdefault("memory_mib", _TORCH_MEMORY_MIB)
    try:
        toml = msgspec.convert(raw, _Toml)
    except msgspec.ValidationError as error:
        raise _malformed(path, _line_of(text, str(error)), str(error), "see the fields in CONTRIBUTING.md") from error
    _check_values(path, text, toml)
    return toml


def _line_of(text: str, message: str) -> int:
    """Find the line a validation message speaks of, by the last key it names; 1 where it names none."""
    keys = re.findall(r"`?([A-Za-z_]\w*)`?", message.rpartition("`$.")[2])
    quoted = re.findall(r"`([A-Za-z_]\w*)`", message)
    lines = text.splitlines()
    for key in [*quoted, *reversed(keys)]:
        for number, line in enumerate(lines, 1):
            if re.match(rf"\s*\[*\s*[\"']?{re.escape(key)}\b", line):
                return number
    return 1


def _faults_of_policy(toml: _Toml) -> Iterator[tuple[str, str, str]]:
    """Yield key, cause and hint; that an operator exists is seen when a sandbox starts, since only that has PyTorch."""
    for name in toml.policy.names:
        if not _BANNED_NAME.fullmatch(name):
            cause = f"{name!r} is no pattern for names; it has letters, and * and ? for what may differ"
            yield "names", cause, 'write "flex_attention" or "*_attention*", without dots'
    for name in toml.policy.operators:
        if toml.kind != "torch" or not _BANNED_OPERATOR.fullmatch(name):
            cause = f"{name!r} is no pattern for operators of a torch exercise"
            yield "operators", cause, 'write "namespace::name", for example "*::*attention*"'


def _faults_of_devices(toml: _Toml) -> Iterator[tuple[str, str, str]]:
    """Yield key, cause and hint."""
    if not toml.devices or len(set(toml.devices)) != len(toml.devices):
        yield "devices", "devices names none, or one twice", 'write ["cpu"], ["cuda"] or ["cpu", "cuda"]'
    elif toml.kind != "torch" and "cuda" in toml.devices:
        yield "devices", "an exercise without PyTorch is judged on the CPU alone", 'write kind = "torch"'
    elif toml.compiles and "cuda" not in toml.devices:
        yield "compiles", "what is compiled here are kernels for a GPU", 'write devices = ["cuda"]'


def _check_values(path: Path, text: str, toml: _Toml) -> None:
    def fail(key: str, cause: str, hint: str) -> ExerciseError:
        return _malformed(path, _line_of(text, f"`{key}`"), cause, hint)

    if not 1 <= toml.difficulty <= 5:  # noqa: PLR2004 - the scale itself
        raise fail("difficulty", "difficulty is a whole number from 1 to 5", "choose one of 1, 2, 3, 4, 5")
    if not toml.title.strip():
        raise fail("title", "the title is empty", "say in one line what is to be written")
    for limit in msgspec.structs.fields(Limits):
        if not 0 < getattr(toml.limits, limit.name) <= _MAX_LIMIT:
            cause = f"{limit.name} must be more than 0 and at most {_MAX_LIMIT:,}"
            raise fail(limit.name, cause, "leave it out to take the default")
    if not toml.functions and not toml.classes:
        raise fail("functions", "no [[functions]] and no [[classes]]", "name what a submission must define")
    if not toml.versions:
        raise fail("versions", "[versions] has no entry", 'write `1 = "First version."`')
    for key, cause, hint in [*_faults_of_policy(toml), *_faults_of_devices(toml)]:
        raise fail(key, cause, hint)
    declared = _declared(toml)
    for name, signature, returns in declared:
        try:
            _arguments(signature)
        except SyntaxError as error:
            raise fail("signature", f"{name}: {signature!r} is no signature", 'write it as "(x, axis=-1)"') from error
        try:
            parse_returns(returns)
        except ReturnsError as error:
            raise fail("returns", f"{name}: {error}", 'for example "array", "(array, array)" or "[array]"') from error
    seen = [name for name, _, _ in declared]
    if len(set(seen)) != len(seen):
        twice = next(name for name in seen if seen.count(name) > 1)
        raise fail("name", f"{twice} is declared twice", "keep one")


def _declared(toml: _Toml) -> list[tuple[str, str, str]]:
    """List (name, signature, returns) of everything the interface declares."""
    declared = [(function.name, function.signature, function.returns) for function in toml.functions]
    for cls in toml.classes:
        declared.append((cls.name, cls.signature, "any"))
        declared += [(f"{cls.name}.{method.name}", method.signature, method.returns) for method in cls.methods]
        declared += [(f"{cls.name}.{name}", "()", returns) for name, returns in cls.attributes.items()]
    return declared


def _arguments(signature: str) -> str:
    """Return the signature in one spelling: `ast` normalises blanks, quotes and numbers."""
    lambda_ = ast.parse(f"lambda {signature[1:-1]}: 0" if signature[:1] + signature[-1:] == "()" else "(", mode="eval")
    return _bare(lambda_.body.args) if isinstance(lambda_.body, ast.Lambda) else "()"


def _bare(arguments: ast.arguments, *, drop_self: bool = False) -> str:
    """Unparse arguments without annotations, and without `self` where asked."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for argument in every:
        if argument is not None:
            argument.annotation = None
    if drop_self:
        del (arguments.posonlyargs or arguments.args)[:1]
    return f"({ast.unparse(arguments)})"


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(_text(path), filename=str(path))
    except SyntaxError as error:
        raise _malformed(path, error.lineno or 0, f"not valid Python: {error.msg}", "mend this line") from error


def _find_reference(folder: Path) -> Path:
    name = folder.name.replace("-", "_") + ".py"
    beside = (folder.parent / "reference" / name, folder.parent.parent / "reference" / name)
    for path in beside:
        if path.is_file():
            return path
    raise _malformed(beside[1], 0, "the reference is missing", f"write it as reference/{name} beside the exercises")


def _check_interface(toml: _Toml, folder: Path, tree: ast.Module, path: Path) -> None:
    """Check that the file defines what exercise.toml declares, with the same signatures."""
    bodies = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    def compare(name: str, want: str, node: ast.AST | None, line: int, *, method: bool = False) -> None:
        if not isinstance(node, ast.FunctionDef):
            raise _malformed(path, line, f"{name} is declared in exercise.toml but not defined", f"define {name}{want}")
        found = _bare(node.args, drop_self=method)
        if found != _arguments(want):
            raise _malformed(
                path,
                node.lineno,
                f"{name} has the signature {found}, and {_arguments(want)} in exercise.toml",
                f"make {path.name} and {folder.name}/exercise.toml agree",
            )

    for function in toml.functions:
        compare(function.name, function.signature, bodies.get(function.name), 1)
    for cls in toml.classes:
        node = bodies.get(cls.name)
        if not isinstance(node, ast.ClassDef):
            raise _malformed(path, 1, f"class {cls.name} is declared but not defined", f"define class {cls.name}")
        methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
        for method in [Function("__init__", cls.signature, "none"), *cls.methods]:
            name = f"{cls.name}.{method.name}"
            compare(name, method.signature, methods.get(method.name), node.lineno, method=True)


def _test_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def _check_tests(path: Path) -> None:
    tests = _test_functions(_parse(path))
    if not tests:
        raise _malformed(path, 1, "no test function", "write at least one `def test_...(submission, ...)`")
    seen: set[str] = set()
    for test in tests:
        if not ast.get_docstring(test):
            raise _malformed(path, test.lineno, f"{test.name} has no title", "say in its docstring what must hold")
        for mark in test.decorator_list:
            if ast.unparse(mark).startswith("pytest.mark.points") and points(mark) is None:
                cause = f"{test.name}: points(n) takes one number, 0 or more"
                raise _malformed(path, mark.lineno, cause, "write `@pytest.mark.points(2)`")
        if test.name in seen:
            raise _malformed(path, test.lineno, f"{test.name} is defined twice", "give each test a name of its own")
        seen.add(test.name)


def points(decorator: ast.expr) -> float | None:
    """Return n of a decorator `@pytest.mark.points(n)`; None for any other."""
    match decorator:
        case ast.Call(func=function, args=[ast.Constant(value=int() | float() as value)], keywords=[]):
            return float(value) if ast.unparse(function) == "pytest.mark.points" and 0 <= value <= _MAX_LIMIT else None
    return None


def _read_wrong(path: Path, tests: set[str]) -> Wrong:
    doc = ast.get_docstring(_parse(path)) or ""
    first = doc.strip().split("\n", 1)[0].strip()
    caught = _CAUGHT_BY.search(doc)
    if not first or caught is None or first == caught[0]:
        raise _malformed(
            path,
            1,
            "the docstring must say what the mistake is, then which test catches it",
            "begin with one sentence for the student, then a line `Caught by test_name.`",
        )
    caught_by = tuple(caught[1].split(", "))
    for name in caught_by:
        if name not in tests:
            raise _malformed(path, 1, f"hidden_tests.py has no {name}", "name a test that exists")
    return Wrong(path.stem, path, path.read_bytes(), first, caught_by)
