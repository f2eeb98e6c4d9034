"""Say what a submission did wrong, in words for the student that hold nothing of what was hidden."""

import builtins
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grader import wire
from grader.exercise import Exercise
from grader.returns import Unsupported
from grader.sandbox import Broken
from grader.verdict import Rejected, Verdict

_MAX_VALUES = 20_000  # in nested lists: what grader/harness.py answers with at most
_MAX_TEXT = 300
_GPU_FAILED = "made the GPU fail"
_GPU_HINT = "Usually a kernel has read or written outside of its tensors, or an index was out of range."


@dataclass
class Failures:
    """The words for one judging. `disclose`: the tests are public, and an exception's text may be shown."""

    exercise: Exercise
    source: str = ""
    places: Sequence[str] = ()
    disclose: bool = False

    def broken(self, where: str, broken: Broken, *, late: bool = False) -> Rejected:
        """Say how the sandbox broke in a call of `where` ("" between calls); `late`: the judging's time is up."""
        if broken.verdict is Verdict.TIME_LIMIT_EXCEEDED:
            limits = self.exercise.limits
            if late:
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

    def broken_import(self, broken: Broken, *, late: bool = False) -> Rejected:
        """Say how the sandbox broke while it ran the student's file."""
        if broken.verdict is Verdict.TIME_LIMIT_EXCEEDED and not late:
            limit = _seconds(self.exercise.limits.import_seconds)
            return Rejected(f"Importing your file took longer than {limit}.", broken.verdict)
        if broken.verdict is Verdict.TIME_LIMIT_EXCEEDED:
            return self.broken("the import of your file", broken, late=late)
        verdict = Verdict.IMPORT_ERROR if broken.verdict is Verdict.RUNTIME_ERROR else broken.verdict
        return Rejected(f"While your file was imported, {broken.message}.", verdict)

    def failed(self, where: str, failed: wire.Failed) -> Rejected:
        """Say why a call of `where` has no answer."""
        at = self._at(failed.line)
        match failed.kind:
            case "memory" if failed.name == "device":
                return Rejected(f"{where} needed more memory than the GPU has{at}.", Verdict.MEMORY_LIMIT_EXCEEDED)
            case "device":
                return Rejected(f"{where} {_GPU_FAILED}{at}. {_GPU_HINT}", Verdict.RUNTIME_ERROR)
            case "memory":
                limit = self.exercise.limits.memory_mib
                return Rejected(
                    f"{where} needed more memory than the {limit} MiB allowed{at}.", Verdict.MEMORY_LIMIT_EXCEEDED
                )
            case "oversize":
                limit = self.exercise.limits.answer_mib
                return Rejected(
                    f"{where} returned more than {limit} MiB, or more than {_MAX_VALUES:,} values in lists.",
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

    def import_failed(self, failed: wire.Failed) -> Rejected:
        """Say why the student's file could not be imported, or what it lacks."""
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
            case "memory" if failed.name == "device":
                return Rejected(
                    f"Importing your file needed more memory than the GPU has{at}.", Verdict.MEMORY_LIMIT_EXCEEDED
                )
            case "device":
                return Rejected(f"Importing your file {_GPU_FAILED}{at}. {_GPU_HINT}", Verdict.IMPORT_ERROR)
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

    def violation(self, failed: wire.Failed) -> Rejected:
        """Say what the exercise asks the student to write, and where the file uses a library's instead."""
        name = wire.clean_name(failed.name)
        if name == "unknown" or not self._tells_nothing(name):
            name = "something"
        elif name.startswith("torch.ops."):
            name = "the operator " + name.removeprefix("torch.ops.").replace(".", "::", 1)
        if failed.kind == "tampered":
            return Rejected(f"Your file has undone the ban on {name}.", Verdict.POLICY_VIOLATION)
        at = self._at(failed.line).removeprefix(" at ") or "your file"
        return Rejected(
            f"{at[0].upper()}{at[1:]} uses {name}, which this exercise asks you to write yourself.",
            Verdict.POLICY_VIOLATION,
        )

    def without_names(self, value: Any) -> Any:
        """Take out the names of types that a submission may have spelt with the numbers it was passed."""
        match value:
            case Unsupported(type_name=name):
                return Unsupported(name if self._tells_nothing(name) else "")
            case list() | tuple():
                return type(value)(self.without_names(part) for part in value)
            case dict():
                return {key: self.without_names(part) for key, part in value.items()}
        return value

    def _tells_nothing(self, name: str) -> bool:
        """Tell whether a type's name is Python's or a library's, or stands in the student's file."""
        prefix, of, dtype = name.partition("ndarray_of_")
        if of and prefix == "numpy.":
            return hasattr(np, dtype) or dtype == "object"  # strings have a dtype for each length
        if _resolves(name) or name == "int beyond 64 bits":
            return True
        return all(re.search(rf"\b{re.escape(part)}\b", self.source) for part in name.split("."))

    def _at(self, line: int) -> str:
        """Say where a line of the source is: in a notebook, in which cell."""
        if not 0 < line <= self.source.count("\n") + self.source.count("\r") + 1:
            return ""  # a file may report any number, one that it was passed too
        return f" at {self.places[line - 1]}" if line <= len(self.places) else f" at line {line} of your file"


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
