"""Broken and hostile files: each gets the named verdict and a clear sentence in time, and leaves nothing behind.

Every item is put to a function, to a class or to a PyTorch exercise (or to all three); the exercises are small, with
short limits, except at the end. `judged` (tests/conftest.py) sees to it that no process and no folder is left.
"""

import re

import pytest

from grader import exercise as exercises
from grader.verdict import Verdict

# The judge forks; what a fork of several threads could deadlock on is not used in the child.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

IMPORT = "import_error"
RUNTIME = "runtime_error"
TIME = "time_limit_exceeded"
MEMORY = "memory_limit_exceeded"
OUTPUT = "output_limit_exceeded"
PROTOCOL = "protocol_violation"
WRONG = "wrong_answer"
HIDDEN = re.compile(r"9182[67]\d|18365[34]\d")


def sentence(text):
    """Check that a message is a clear sentence: short, printable, without our insides and without hidden numbers."""
    first = text.split("\n", 1)[0]
    assert re.fullmatch(r"[A-Za-z'].{10,450}[.?]", first), repr(text)
    assert len(text) < 1000
    assert all(char.isprintable() for line in text.split("\n") for char in line), repr(text)
    for inside in ("Traceback", "harness", "grader/", "<submission>", "None of None", "  "):
        assert inside not in first, text
    assert not HIDDEN.search(text), text


def told(report):
    """Return what the student is told, after checking that it is told well."""
    assert report.verdict is not Verdict.INTERNAL_ERROR, report.log
    assert report.log == ""
    messages = [report.message, *(test.message for test in report.tests)]
    messages = [message for message in messages if message]
    if report.verdict is not Verdict.ACCEPTED:
        assert messages
    for message in messages:
        sentence(message)
    return "\n".join(messages)


# --- files that are no Python file, or not one that can be asked

FILES = {
    "empty": (b"", "Your file is empty."),
    "blank": (b" \n\t\n", "Your file is empty."),
    "not UTF-8": (b"x = 1\ny = '\xff'\n", "not UTF-8 text: see line 2"),
    "UTF-16": ("\ufeffx = 1\n".encode("utf-16-le"), "NUL byte at line 1|not UTF-8"),
    "NUL bytes": (b"x = 1\ny = 2\0\n", "NUL byte at line 2"),
    "5 MB": (b"#" * 5_000_000, r"has 5,000,000 bytes; at most 262,144"),
    "only a comment": (b"# later\n", r"must define (class )?(double|Total)\("),
    "nested parentheses": (b"(" * 10_000 + b")" * 10_000, "line 1.*too many nested parentheses"),
    "nested lists": (b"x = " + b"[" * 10_000 + b"]" * 10_000, "line 1.*too many nested parentheses"),
    "open parentheses": (b"x = 1\n" + b"(" * 10_000, "line 2.*too many nested parentheses"),
    "unary minus": (b"x = " + b"-" * 10_000 + b"1", "nested too deeply"),
    "attribute chain": (b"x = x" + b".a" * 10_000, "nested too deeply"),
    "sum of 100,000 terms": (b"x = 1" + b"+1" * 100_000, "nested too deeply|must define"),
    "f-strings": (b"x = " + b"f'{" * 10_000 + b"1" + b"}'" * 10_000, "not valid Python"),
    "indentation": (b"".join(b" " * i + b"if 1:\n" for i in range(500)), "line 101.*too many levels of indentation"),
    "million digits": (b"x = " + b"9" * 250_000, "line 1.*Exceeds the limit"),
    "million digits computed": (b"x = 10**1_000_000\nprint(x)\n", "raised ValueError at line 2"),
    "huge constant": (b"x = 2**2**2**2**2**2\n", "longer|memory"),
    "does not parse": (
        b"import os\n\n\ndef double(x:\n    return x\n",
        r"line 4 of your file: .*\n    def double\(x:\n",
    ),
    "tab and blank": (b"if 1:\n\tx = 1\n        y = 2\n", "line 3.*(inconsistent use of tabs|indent)"),
    "return outside": (b"x = 1\nreturn x\n", r"line 2.*'return' outside function"),
    "form feed and unicode line ends": ("x = 'a\u2028b'\f\ndef f(:\n".encode(), r"line 2.*\n    def f\(:"),
    "coding cookie": (b"# -*- coding: rot13 -*-\nqrs qbhoyr(k): cnff\n", "not valid Python at line"),
    "a notebook": (b'{"cells": [], "nbformat": 4}', r"must define"),
    "a pickle": (b"\x80\x04K\x01.", "not UTF-8"),
    "future import late": (b"x = 1\nfrom __future__ import annotations\n", "line 2.*must occur at the beginning"),
    "unknown future": (b"from __future__ import braces\n", "line 1.*not a chance"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_submission_is_an_import_error(make_exercise, judged, name):
    """The file is not run or not whole: import_error, one sentence that says where, no points."""
    content, words = FILES[name]
    kind = "class" if len(name) % 2 else "function"  # the same for both: half of them each
    report = judged(make_exercise(kind), content)
    expected = (IMPORT, TIME, MEMORY) if name == "huge constant" else (IMPORT,)
    assert report.verdict in expected
    assert report.score == 0
    assert re.search(words, told(report), re.DOTALL), told(report)


@pytest.mark.parametrize("name", ["empty", "not UTF-8", "nested parentheses", "unary minus", "does not parse"])
def test_a_broken_file_is_an_import_error_with_pytorch_too(make_exercise, judged, name):
    """The kind of the exercise makes no difference to a file that cannot be imported."""
    content, words = FILES[name]
    report = judged(make_exercise("torch"), content)
    assert report.verdict == IMPORT
    assert re.search(words, told(report), re.DOTALL), told(report)


def test_a_syntax_error_shows_the_line_and_a_caret_under_the_place(make_exercise, judged):
    """The caret stands under the character that Python complains of, also behind tabs."""
    message = judged(make_exercise(), "def double(x):\n\treturn x +* 2\n").message
    _, shown, caret = message.split("\n")
    assert shown.endswith("\treturn x +* 2")
    assert shown[caret.index("^")] == "*"


NO_CLASS = "class Total:\n    pass\n"
INTERFACES = {
    "no function": ("function", "def other(x): pass", r"must define double\(x, factor=2.0\), and does not"),
    "a number": ("function", "double = 2", r"must define double\("),
    "no class": ("class", "x = 1", r"must define class Total\(start\), and does not"),
    "a function for a class": ("class", "def Total(start): pass", r"must define class Total\(start\)"),
    "no method": ("class", "class Total:\n    def __init__(self, start): pass", r"must define Total.add\(x\)"),
    "too few": ("function", "def double(x): return x", r"call double\(x, factor=2.0\); yours takes \(x\)"),
    "none": ("function", "def double(): return 1", r"yours takes \(\)"),
    "too many required": ("function", "def double(x, y, factor=2.0): pass", r"yours takes \(x, y, factor=2.0\)"),
    "missing keyword": ("function", "def double(x, scale=2.0): pass", r"yours takes \(x, scale=2.0\)"),
    "self forgotten": (
        "class",
        "class Total:\n    def __init__(self, start): pass\n    def add(x): pass",
        r"call Total.add\(x\); yours takes \(x\)",
    ),
    "no argument for the class": (
        "class",
        "class Total:\n    def __init__(self): pass\n    def add(self, x): pass",
        r"call class Total\(start\); yours takes \(\)",
    ),
    "a hostile default": (
        "function",
        "class D:\n    def __repr__(self): return '\\x1b[31m' + 'x' * 10**6\ndef double(y=D(), z=D()): pass",
        r"call double\(x, factor=2.0\)",
    ),
    "a default whose text fails": (
        "function",
        "class D:\n    def __repr__(self): raise SystemExit\ndef double(y=D(), z=D()): pass",
        r"double|program's exit at line 2",
    ),
    "a signature that fails": (
        "function",
        (
            "class F:\n    def __call__(self, x, factor=2.0): return x\n"
            "    @property\n    def __signature__(self): raise OSError\ndouble = F()"
        ),
        r"double|OSError|largest error",
    ),
}


@pytest.mark.parametrize("name", INTERFACES)
def test_a_file_without_the_interface_is_told_what_is_missing(make_exercise, judged, name):
    """The sentence names the function, class or method, with its signature, and what was found."""
    kind, source, words = INTERFACES[name]
    report = judged(make_exercise(kind), source)
    assert report.verdict in (IMPORT, WRONG) if name == "a signature that fails" else report.verdict == IMPORT
    assert re.search(words, told(report)), told(report)


# --- what code does, while it is imported or called; BODY is the body of bad(x)

PREFACE = """
import atexit, builtins, ctypes, gc, json, math, os, signal, struct, sys, threading, time, types, warnings
import numpy as np
try:
    import torch
except ImportError:
    torch = None


def bad(x):
BODY
"""
TAILS = {
    "function": "\n\ndef double(x, factor=2.0):\n    return CALL\n",
    "class": "\n\nclass Total:\n    def __init__(self, start):\n        self.total = start\n\n"
    "    def add(self, x):\n        self.total = CALL\n",
    "torch": "\n\ndef double(x, factor=2.0):\n    return CALL\n",
}


def source(kind, body, *, on_import):
    """Write a submission that does what `body` says, on import or in its first call."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    text = PREFACE.replace("BODY", indented)
    if on_import:
        return text + "\n\nbad(np.ones(3))\n" + TAILS[kind].replace("CALL", "x")
    return text + TAILS[kind].replace("CALL", "bad(x)")


# name: (body, verdict in a call, words in a call, verdict on import, words on import)
ENDS = {
    "raises": (
        "raise ValueError('boom')",
        *(RUNTIME, r"raised ValueError at line \d+ of your file\."),
        *(IMPORT, r"Importing your file raised ValueError at line \d+ of your file: boom\."),
    ),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", RUNTIME, "KeyboardInterrupt", IMPORT, "KeyboardInterrupt"),
    "sys.exit": ("sys.exit(0)", RUNTIME, "program's exit at line", IMPORT, "program's exit at line"),
    "os._exit": ("os._exit(0)", RUNTIME, "ended the process", IMPORT, "ended the process"),
    "kills itself": (
        "os.kill(os.getpid(), 9)",
        *(RUNTIME, r"crashed the process \(signal 9"),
        *(IMPORT, r"crashed the process \(signal 9"),
    ),
    "stops itself": (
        "os.kill(os.getpid(), signal.SIGSTOP)",
        *(TIME, "within 0.5 seconds"),
        *(TIME, r"took longer than 1 second\b"),
    ),
    "kills its group": ("os.killpg(0, 9)", RUNTIME, "signal 9", IMPORT, "signal 9"),
    "loops": (
        "while True: pass",
        *(TIME, r"did not return within [\d.]+ seconds\."),
        *(TIME, r"Importing your file took longer than 1 second\."),
    ),
    "loops and will not be stopped": (
        (
            "for n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
            "    except (OSError, ValueError): pass\n"
            "while True:\n    try:\n        time.sleep(1)\n    except BaseException: pass"
        ),
        *(TIME, "did not return within"),
        *(TIME, "took longer than"),
    ),
    "loops in C": ("sum(iter(int, 1))", TIME, "did not return within", TIME, "took longer than"),
    "prints 200 MB": (
        "for _ in range(200): print('x' * 10**6)",
        *(OUTPUT, "printed more than 2 MiB"),
        *(OUTPUT, "printed more than 2 MiB"),
    ),
    "writes 200 MB to descriptor 1": (
        "for _ in range(200): os.write(1, b'x' * 10**6)",
        *(OUTPUT, "printed more than 2 MiB"),
        *(OUTPUT, "printed more than 2 MiB"),
    ),
    "writes 200 MB to stderr": (
        "for _ in range(200): sys.stderr.write('x' * 10**6)",
        *(OUTPUT, "printed more than 2 MiB"),
        *(OUTPUT, "printed more than 2 MiB"),
    ),
    "prints from a thread for ever": (
        "def f():\n    while True: print('x' * 10**6)\nthreading.Thread(target=f).start()\ntime.sleep(9)",
        *(OUTPUT, "printed more than"),
        *(OUTPUT, "printed more than"),
    ),
    "floods with warnings": (
        "warnings.simplefilter('always')\nfor i in range(10**6): warnings.warn('x' * 10**4)",
        *(OUTPUT, "printed more than"),
        *(OUTPUT, "printed more than"),
    ),
    "writes to every descriptor": (
        "for fd in range(256):\n    try: os.write(fd, b'\\x07\\0\\0\\0forged!')\n    except OSError: pass",
        *(PROTOCOL, "not of the protocol|impossible length|nobody had asked"),
        *(PROTOCOL, "not of the protocol|impossible length|nobody had asked"),
    ),
    "closes every descriptor": (
        "os.closerange(0, 256)",
        *((PROTOCOL, RUNTIME), "closed the channel|ended the process"),
        *((PROTOCOL, IMPORT), "closed the channel|ended the process"),
    ),
    "closes every descriptor and stays": (
        "os.closerange(0, 256)\ntime.sleep(9)",
        *(PROTOCOL, "closed the channel"),
        *(PROTOCOL, "closed the channel"),
    ),
    "recurses": ("return bad(x)", RUNTIME, "RecursionError at line", IMPORT, "RecursionError at line"),
    "recurses without a limit": (
        "sys.setrecursionlimit(10**9)\nreturn bad(x)",
        *((RUNTIME, MEMORY, TIME), "RecursionError|memory|signal|within"),
        *((IMPORT, MEMORY, TIME), "RecursionError|memory|signal|longer"),
    ),
    "crashes": ("ctypes.string_at(0)", RUNTIME, r"signal 11", IMPORT, r"signal 11"),
    "aborts": ("os.abort()", RUNTIME, r"signal 6", IMPORT, r"signal 6"),
    "crashes by recursion in C": (
        "sys.setrecursionlimit(10**9)\nl = []\nfor _ in range(10**5): l = [l]\nrepr(l)",
        *((RUNTIME, MEMORY, TIME), "signal 11|RecursionError|memory|within"),
        *((IMPORT, MEMORY, TIME), "signal 11|RecursionError|memory|longer"),
    ),
    "allocates": (
        "kept = []\nwhile True: kept.append(bytearray(1 << 22))",
        *(MEMORY, "needed more memory than the 96 MiB|needed more memory than the 256 MiB"),
        *(MEMORY, "needed more memory than the"),
    ),
    "allocates and will not hear": (
        "kept = []\nwhile True:\n    try: kept.append(bytearray(1 << 22))\n    except MemoryError: pass",
        *((TIME, MEMORY), "within|memory"),
        *((TIME, MEMORY), "longer|memory"),
    ),
    "allocates 10 GB": (
        "return np.empty(10**10, np.uint8)",
        MEMORY,
        "needed more memory",
        MEMORY,
        "needed more memory",
    ),
    "allocates small things": (
        "kept = None\nwhile True: kept = (kept, object())",
        *((MEMORY, TIME), "memory|within"),
        *((MEMORY, TIME), "memory|longer"),
    ),
}


def verdicts(expected):
    """Return a tuple of verdicts for one or several."""
    return expected if isinstance(expected, tuple) else (expected,)


CLASS_ENDS = ["raises", "sys.exit", "os._exit", "loops", "prints 200 MB", "writes to every descriptor", "recurses"]
CLASS_ENDS += ["crashes", "allocates", "allocates 10 GB"]


@pytest.mark.parametrize(
    ("kind", "name"), [*(("function", name) for name in ENDS), *(("class", name) for name in CLASS_ENDS)]
)
def test_a_call_that_breaks_the_sandbox_is_named(make_exercise, judged, kind, name):
    """Each way of not returning has its verdict and its sentence; the judge goes on and ends in time."""
    body, verdict, words, _, _ = ENDS[name]
    report = judged(make_exercise(kind), source(kind, body, on_import=False))
    assert report.verdict in verdicts(verdict), told(report)
    assert report.score == 0
    assert re.search(words, told(report)), told(report)
    assert ("double" if kind == "function" else "Total.add") in told(report)


@pytest.mark.parametrize("name", ENDS)
def test_an_import_that_breaks_the_sandbox_is_named(make_exercise, judged, name):
    """The same while the file is imported: one sentence for the whole report, and no test is run."""
    body, _, _, verdict, words = ENDS[name]
    report = judged(make_exercise(), source("function", body, on_import=True))
    assert report.verdict in verdicts(verdict), told(report)
    assert re.search(words, report.message), report.message
    assert {test.verdict for test in report.tests} == {report.verdict}
    assert report.usage.calls == 0


TORCH_ENDS = ["raises", "os._exit", "loops", "prints 200 MB", "writes to every descriptor"]


@pytest.mark.parametrize("name", TORCH_ENDS)
def test_a_pytorch_call_that_breaks_the_sandbox_is_named(make_exercise, judged, name):
    """PyTorch in the sandbox changes none of the verdicts."""
    body, verdict, words, _, _ = ENDS[name]
    report = judged(make_exercise("torch"), source("torch", body, on_import=False))
    assert report.verdict in verdicts(verdict), told(report)
    assert re.search(words, told(report)), told(report)


# --- what a call returns: (body, verdict, words)

ANSWERS = {
    "None": ("return None", WRONG, r"returned None \(is a `return` missing\?\)"),
    "a list": ("return [1.0, 2.0]", WRONG, "returned a list; a NumPy array is expected"),
    "a list of lists": ("return [[1.0, 2.0], [3.0]]", WRONG, "returned a list; a NumPy array is expected"),
    "a list of arrays": ("return [x, x]", WRONG, "returned a list; a NumPy array is expected"),
    "a list nested 10,000 deep": (
        "out = []\nfor _ in range(10000): out = [out]\nreturn out",
        *(WRONG, "returned a list; a NumPy array is expected"),
    ),
    "a list that holds itself": ("out = []\nout.append(out)\nreturn out", WRONG, "returned a list"),
    "a list that holds itself often": (
        "out = []\nout.extend([out] * 50)\nreturn out",
        *(OUTPUT, "more than 4 MiB, or more than 20,000 values"),
    ),
    "a dict that holds itself": ("out = {}\nout['a'] = out\nreturn out", WRONG, "returned a dict"),
    "a million numbers": ("return [0.0] * 10**6", OUTPUT, "more than 20,000 values"),
    "a string": ("return 'accepted'", WRONG, "returned a string; a NumPy array is expected"),
    "a long string": ("return 'x' * 10**7", WRONG, "returned an object of type str|returned a string"),
    "a string of half a character": ("return '\\ud800'", WRONG, "returned a string"),
    "bytes": ("return b'1'", WRONG, "returned an object of type bytes"),
    "True": ("return True", WRONG, "returned a bool"),
    "a number": ("return 2.0", WRONG, "returned a float; a NumPy array is expected"),
    "a huge integer": ("return 10**5000", WRONG, "returned an object of type int"),
    "a complex number": ("return 1j", WRONG, "returned a complex number"),
    "complex numbers": ("return x * 2j", WRONG, "complex128"),
    "NaN": ("return x * np.nan", WRONG, "NaN where it should be finite"),
    "infinity": ("return x + np.inf", WRONG, "infinite where it should be finite"),
    "float32": ("return (2 * x).astype(np.float32)", WRONG, "float32.*float64"),
    "integers": ("return np.zeros(x.shape, int)", WRONG, "int64.*float64"),
    "longdouble": ("return (2 * x).astype(np.longdouble)", WRONG, "object of type numpy.ndarray"),
    "strings": ("return np.full(x.shape, 'a')", WRONG, "object of a type of its own"),
    "objects": ("return np.full(x.shape, None)", WRONG, "object of type numpy.ndarray"),
    "a structured array": ("return np.zeros(x.shape, [('a', float)])", WRONG, "returned an object"),
    "dates": ("return np.zeros(x.shape, 'M8[s]')", WRONG, "returned an object of type numpy.ndarray"),
    "the wrong shape": ("return np.outer(x, x)", WRONG, "shape"),
    "an empty array": ("return x[:0]", WRONG, "shape"),
    "a 0-d array": ("return np.array(1.0)", WRONG, "shape"),
    "rank 20": ("return x.reshape((1,) * 20 + x.shape)", WRONG, "numpy.ndarray"),
    "its input": ("return x", WRONG, "largest error"),
    "a view of its input": ("return x[...]", WRONG, "largest error"),
    "10 GB that are not there": ("return np.broadcast_to(np.float64(0), 10**10)", OUTPUT, "more than 4 MiB"),
    "more than an exabyte": (
        "return np.lib.stride_tricks.as_strided(np.zeros(1), (2**30, 2**29), (0, 0))",
        *(OUTPUT, "more than 4 MiB"),
    ),
    "memory that is not its own": (
        "return np.lib.stride_tricks.as_strided(np.zeros(1), (1000,), (1 << 33,))",
        *(RUNTIME, "signal 11"),
    ),
    "5 MB": ("return np.zeros(5 * 2**20 // 8)", OUTPUT, "more than 4 MiB"),
    "a subclass": (
        (
            "class A(np.ndarray):\n    def __eq__(self, other): return np.True_\n"
            "    def __array_function__(self, *a): return True\n"
            "    def __array_ufunc__(self, *a, **k): return np.True_\n"
            "return x.view(A)"
        ),
        *(WRONG, "object of type (bad.)?A"),
    ),
    "a matrix": ("return np.matrix(x)", WRONG, "object of type numpy.matrix"),
    "a masked array": ("return np.ma.masked_all(x.shape)", WRONG, "object of type numpy.ma.*MaskedArray"),
    "a memmap": (
        "m = np.memmap('f', float, 'w+', shape=x.shape)\nm[:] = 2 * x\nreturn m",
        *(WRONG, "object of type numpy.*memmap"),
    ),
    "a friendly object": (
        (
            "class F:\n    shape, dtype, ndim = x.shape, x.dtype, x.ndim\n    def __eq__(self, other): return True\n"
            "    def __array__(self, *a, **k): return 2 * x\n    def __getattr__(self, name): return self\n"
            "    def __call__(self, *a): return self\nreturn F()"
        ),
        *(WRONG, "returned an object"),
    ),
    "an object with hostile dunders": (
        (
            "class M(type):\n    @property\n    def __module__(cls): raise SystemExit\n"
            "    def __instancecheck__(cls, other): return True\n"
            "class F(metaclass=M):\n    @property\n    def __class__(self): return np.ndarray\n"
            "    def __getattribute__(self, name): os._exit(0)\nreturn F()"
        ),
        *((WRONG, RUNTIME), "returned an object|raised|ended the process|exit at line"),
    ),
    "a float that is not": (
        "class F(float):\n    def hex(self): return '1'\nreturn F(2)",
        *(WRONG, "returned an object"),
    ),
    "a type with half a character in its name": (
        "T = type('T', (), {})\nT.__qualname__ = '\\ud800'\nT.__module__ = '\\ud800'\nreturn T()",
        *((WRONG, PROTOCOL), "returned an object|not of the protocol"),
    ),
    "a type with a name of 1 MB": ("return type('x' * 10**6, (), {})()", WRONG, "returned an object"),
    "a key of half a character": ("return {'\\ud800': 1}", (WRONG, PROTOCOL), "returned a|not of the protocol"),
    "a generator": ("return (part for part in x)", WRONG, "returned an object"),
    "a coroutine": ("async def f(): return x\nreturn f()", WRONG, "returned an object of type coroutine"),
    "a lambda": ("return lambda: x", WRONG, "returned an object of type function"),
    "a class": ("return float", WRONG, "returned an object of type type"),
    "NotImplemented": ("return NotImplemented", WRONG, "returned an object of type NotImplementedType"),
    "NotImplementedError": ("raise NotImplementedError", RUNTIME, "is not written yet"),
    "an exception with a name of 1 MB": (
        "raise type('E' * 10**6, (Exception,), {})",
        RUNTIME,
        "raised an exception at line",
    ),
    "an exception with colours in its name": (
        "raise type('\\x1b[2J\\x1b[31mE', (Exception,), {})('\\x1b[0m')",
        *(RUNTIME, "raised an exception at line"),
    ),
    "an exception with a text of 1 MB": ("raise ValueError('\\x1b[31m' + 'x' * 10**6)", RUNTIME, "raised ValueError"),
    "an exception without a text": (
        "class E(Exception):\n    def __str__(self): sys.exit()\n    __repr__ = __str__\nraise E()",
        *(RUNTIME, "raised E at line"),
    ),
    "an exception whose text never ends": (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E()",
        *(TIME, "within 0.5"),
    ),
    "an exception with hidden numbers in its text": ("raise ValueError(repr(x))", RUNTIME, "raised ValueError"),
    "an exception from a metaclass that lies": (
        (
            "class M(type):\n    @property\n    def __name__(cls): raise ValueError\n"
            "class E(Exception, metaclass=M): pass\nraise E()"
        ),
        *(RUNTIME, "raised|ended the process"),
    ),
    "a chain of 10,000 exceptions": (
        "e = None\nfor i in range(10000):\n    n = ValueError(i)\n    n.__cause__ = e\n    e = n\nraise e",
        *(RUNTIME, "raised ValueError"),
    ),
    "a group of exceptions": ("raise ExceptionGroup('a', [ValueError()] * 1000)", RUNTIME, "raised ExceptionGroup"),
    "a syntax error from exec": ("exec('x = (')", RUNTIME, "raised SyntaxError at line"),
    "StopIteration": ("raise StopIteration", RUNTIME, "raised StopIteration"),
    "memory error by hand": ("raise MemoryError", MEMORY, "memory"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_wrong_kind_of_answer_is_named(make_exercise, judged, name):
    """What comes back is told by its kind, never by its content, and never believed."""
    body, verdict, words = ANSWERS[name]
    report = judged(make_exercise(), source("function", body, on_import=False))
    assert report.verdict in verdicts(verdict), told(report)
    assert report.score == 0
    assert re.search(words, told(report)), told(report)


CLASS_ANSWERS = ["None", "a list of lists", "a string", "a friendly object", "NaN", "the wrong shape", "a masked array"]
CLASS_ANSWERS += ["10 GB that are not there", "its input", "a generator", "a list that holds itself often"]


@pytest.mark.parametrize("name", CLASS_ANSWERS)
def test_a_wrong_kind_of_attribute_is_named(make_exercise, judged, name):
    """An attribute of an object is believed no more than what a function returns."""
    body, verdict, words = ANSWERS[name]
    report = judged(make_exercise("class"), source("class", body, on_import=False))
    assert report.verdict in verdicts(verdict), told(report)
    assert report.score == 0
    assert re.search(words, told(report)), told(report)


TORCH_ANSWERS = {
    "None": ("return None", WRONG, "returned None"),
    "an array": ("return x.detach().numpy()", WRONG, "returned a NumPy array.*; a torch tensor is expected"),
    "a friendly object": (
        "class F:\n    def __eq__(self, other): return True\n    def __getattr__(self, name): return self\nreturn F()",
        *(WRONG, "returned an object"),
    ),
    "a subclass": (
        "class T(torch.Tensor): pass\nreturn (2 * x).as_subclass(T)",
        *(WRONG, "returned an object of type"),
    ),
    "a sparse tensor": ("return x.to_sparse()", WRONG, "returned an object of type torch"),
    "a meta tensor": ("return x.to('meta')", WRONG, "returned an object of type torch"),
    "a quantized tensor": (
        "return torch.quantize_per_tensor(x.detach().float(), 1.0, 0, torch.qint8)",
        *(WRONG, "returned an object of type torch"),
    ),
    "10 GB that are not there": ("return torch.zeros(1).expand(10**10)", OUTPUT, "more than 4 MiB"),
    "a detached tensor": ("return 2 * x.detach()", WRONG, "cut off from its inputs"),
    "a gradient of its own": (
        (
            "class F(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x): return 2 * x\n"
            "    @staticmethod\n    def backward(ctx, g): raise SystemExit\nreturn F.apply(x)"
        ),
        *(RUNTIME, "exit"),
    ),
    "complex numbers": ("return x * 2j", WRONG, "complex128"),
    "bfloat16": ("return (2 * x).bfloat16()", WRONG, "bfloat16"),
    "NaN": ("return x * float('nan')", WRONG, "NaN"),
    "its input": ("return x", WRONG, "largest error"),
}


@pytest.mark.parametrize("name", TORCH_ANSWERS)
def test_a_wrong_kind_of_tensor_is_named(make_exercise, judged, name):
    """Tensors cross only as themselves: dense, of a known dtype, no subclass."""
    body, verdict, words = TORCH_ANSWERS[name]
    report = judged(make_exercise("torch"), source("torch", body, on_import=False))
    assert report.verdict in verdicts(verdict), told(report)
    assert re.search(words, told(report)), told(report)


# --- what breaks the harness from within: it may fail, it must never win

VANDALISM = {
    "del numpy": "del sys.modules['numpy']",
    "clear sys.modules": "sys.modules.clear()",
    "a false module": "sys.modules['torch'] = types.SimpleNamespace(Tensor=np.ndarray, nn=None)",
    "np.asarray": "np.asarray = np.ascontiguousarray = np.array = lambda *a, **k: 2 * np.ones(1)",
    "np.ndarray.astype": "np.ndarray.astype = None",
    "np.frombuffer": "np.frombuffer = lambda *a, **k: np.ones(1)",
    "np.allclose": "np.allclose = np.array_equal = np.all = np.any = lambda *a, **k: True",
    "json.dumps to nothing": "json.dumps = lambda *a, **k: ''",
    "json.dumps raises": "json.dumps = None",
    "json.dumps says accepted": 'json.dumps = lambda *a, **k: \'{"status": "ok", "verdict": "accepted"}\'',
    "json.loads": "json.loads = lambda *a, **k: {}",
    "os.write does nothing": "os.write = lambda fd, data: 0",
    "os.write lies": "os.write = lambda fd, data: len(data)",
    "os.write raises": "os.write = None",
    "struct": "struct.Struct = struct.pack = struct.unpack = None",
    "isinstance": "builtins.isinstance = lambda *a: True",
    "isinstance never": "builtins.isinstance = lambda *a: False",
    "type": "builtins.type = lambda *a: np.ndarray",
    "len and memoryview": "builtins.len = lambda *a: 0\nbuiltins.memoryview = lambda *a: b''",
    "every builtin": "builtins.__dict__.clear()",
    "sys.stdout": "sys.stdout = sys.stderr = sys.stdin = None",
    "sys.stdout raises": "class S:\n    def __getattr__(self, name): raise SystemExit\nsys.stdout = sys.stderr = S()",
    "settrace": "def f(*a): raise SystemExit\nsys.settrace(f)\nthreading.settrace(f)",
    "setprofile": "def f(*a): raise SystemExit\nsys.setprofile(f)",
    "a low recursion limit": "sys.setrecursionlimit(30)",
    "gc": "gc.disable()\ngc.freeze()\ngc.collect = None\ngc.set_threshold(1)",
    "a callback of gc": "def f(*a): os._exit(0)\ngc.callbacks.append(f)\ngc.collect()",
    "an import hook": "class F:\n    def find_spec(self, *a): raise SystemExit\nsys.meta_path.insert(0, F())",
    "an audit hook": "def f(*a): raise SystemExit\nsys.addaudithook(f)",
    "excepthook": "sys.excepthook = threading.excepthook = lambda *a: time.sleep(100)",
    "atexit hangs": "atexit.register(time.sleep, 100)",
    "atexit is full": "for _ in range(1000): atexit.register(os._exit, 0)",
    "an alarm": "signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)",
    "a signal handler": "signal.signal(signal.SIGALRM, lambda *a: os._exit(0))\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.01)",
    "threads left running": "for _ in range(2): threading.Thread(target=time.sleep, args=(100,)).start()",
    "a busy thread": "def f():\n    while True: pass\nthreading.Thread(target=f, daemon=True).start()",
    "a thread that writes": "def f():\n    for fd in range(3, 20):\n        try: os.write(fd, b'x')\n"
    "        except OSError: pass\nthreading.Timer(0.02, f).start()",
    "fork": "os.fork()",
    "a child that stays": "if os.fork() == 0: time.sleep(100)",
    "a child that leaves": "if os.fork() == 0: os._exit(0)",
    "a daemon": "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(100)\n    os._exit(0)",
    "thirty children": "for _ in range(30):\n    if os.fork() == 0: time.sleep(100)",
    "kills its parent's group": "os.kill(os.getppid(), 0)",
    "locks": "__import__('__main__').Harness.keep = lambda *a: time.sleep(100)",
    "the harness itself": "h = [o for o in gc.get_objects() if type(o).__name__ == 'Harness'][0]\n"
    "h.max_answer_bytes = 1 << 60\nh.nonce = 'guess'\nh.module = None",
    "the harness's encoder": "m = sys.modules['__main__']\nm.Encoder.node = lambda *a: {'t': 'array', 'k': 'ndarray', "
    "'dtype': 'float64', 'shape': [-1]}",
    "an answer of great size": "m = sys.modules['__main__']\nm.Encoder.node = lambda *a: {'t': 'array', "
    "'k': 'ndarray', 'dtype': 'float64', 'shape': [1 << 39, 1 << 39]}",
    "an answer that is not whole": "m = sys.modules['__main__']\nm.Encoder.node = lambda *a: {'t': 'array', 'k': "
    "'ndarray', 'dtype': 'float64', 'shape': [3]}",
    "an answer nested deep": "m = sys.modules['__main__']\nn = {'t': 'none'}\nfor _ in range(300): n = {'t': 'list', "
    "'v': [n]}\nm.Encoder.node = lambda *a: n",
    "a handle from nowhere": "m = sys.modules['__main__']\nm.Encoder.node = lambda *a: {'t': 'handle', 'id': 77}",
    "a number of 10 MB": "m = sys.modules['__main__']\nm.Encoder.node = lambda *a: {'t': 'int', 'v': '9' * 10**7}",
    "errors of its own": "m = sys.modules['__main__']\nm.explain = lambda e: {'kind': 'internal', 'text': 'x' * 1900, "
    "'line': 1 << 30}\nraise ValueError",
    "a callback nobody gave": "h = [o for o in gc.get_objects() if type(o).__name__ == 'Harness'][0]\nh.callback(1)(x)",
    "chroot and away": "os.chdir('/')\nos.umask(0o777)",
    "the environment": "os.environ.clear()\nos.environ['PYTHONHOME'] = '/nowhere'",
    "locale and errstate": "np.seterr(all='raise')\nnp.set_printoptions(threshold=1)",
    "warnings as errors": "warnings.simplefilter('error')\nwarnings.warn('x')",
    "priority and limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\nos.nice(19)",
}


@pytest.mark.parametrize("name", VANDALISM)
def test_vandalism_never_gives_points(make_exercise, judged, name):
    """Code that attacks the harness and then returns a wrong answer ends with a verdict of its own, and no points."""
    report = judged(make_exercise(), source("function", VANDALISM[name] + "\nreturn 7 * x", on_import=False))
    told(report)
    assert report.verdict is not Verdict.ACCEPTED
    assert report.score == 0


HARMLESS = ["gc", "atexit hangs", "atexit is full", "threads left running", "sys.stdout", "a child that leaves"]
HARMLESS += ["excepthook", "the environment", "an import hook", "struct", "np.allclose", "locale and errstate"]
HARMLESS += ["a child that stays", "a daemon", "thirty children"]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_no_harm_to_a_right_answer_is_accepted(make_exercise, judged, name):
    """Odd habits are nobody's business as long as the answers are right; what they started is ended."""
    report = judged(make_exercise(), source("function", VANDALISM[name] + "\nreturn 2 * x", on_import=False) + FACTOR)
    assert report.verdict is Verdict.ACCEPTED, told(report)


FACTOR = """

def double(x, factor=2.0):
    return bad(x) * (factor / 2)
"""


@pytest.mark.parametrize("name", ["np.asarray", "json.dumps raises", "os.write does nothing", "every builtin"])
@pytest.mark.parametrize("kind", ["class", "torch"])
def test_vandalism_gives_no_points_in_other_kinds(make_exercise, judged, kind, name):
    """A class or a PyTorch function that attacks the harness wins nothing either."""
    report = judged(make_exercise(kind), source(kind, VANDALISM[name] + "\nreturn 7 * x", on_import=False))
    told(report)
    assert report.verdict is not Verdict.ACCEPTED
    assert report.score == 0


def test_np_ndarray_cannot_be_patched_on_import(make_exercise, judged):
    """Built-in types refuse it, and the student is told so as of any other exception."""
    report = judged(make_exercise(), "import numpy as np\n\nnp.ndarray.astype = None\n")
    assert report.verdict == IMPORT
    assert "raised TypeError at line 3 of your file" in told(report)


# --- the real exercises

REAL = {"softmax": "softmax", "adam": "step", "attention": "attention"}


BAD = [("None", WRONG), ("[[1.0, 2.0]]", WRONG), ("'accepted'", WRONG), ("1 / 0", RUNTIME)]
BAD += [("__import__('sys').exit()", RUNTIME), ("__import__('os')._exit(0)", RUNTIME)]


@pytest.mark.parametrize(
    ("exercise", "replacement", "verdict"),
    [(exercise, *bad) for exercise in REAL for bad in (BAD if exercise != "attention" else BAD[:1] + BAD[-2:-1])],
)
def test_a_real_exercise_takes_bad_answers(judged, exercise, replacement, verdict):
    """The exercises that students get name these mistakes like the small ones do."""
    loaded = exercises.load(exercise)
    tail = {
        "softmax": "\n\ndef softmax(x, axis=-1):\n    return BAD\n",
        "adam": "\n\nclass Adam(Adam):\n    def step(self, grads):\n        self.params = BAD\n",
        "attention": "\n\ndef attention(query, key, value, mask=None, causal=False):\n    return BAD\n",
    }[exercise]
    report = judged(loaded, loaded.reference.read_bytes() + tail.replace("BAD", replacement).encode())
    assert report.verdict == verdict, told(report)
    told(report)


@pytest.mark.parametrize("exercise", REAL)
@pytest.mark.parametrize("name", ["empty", "does not parse", "nested parentheses", "only a comment"])
def test_a_real_exercise_takes_bad_files(judged, exercise, name):
    """A broken file is an import_error in every exercise."""
    report = judged(exercises.load(exercise), FILES[name][0])
    assert report.verdict == IMPORT
    assert report.score == 0
    assert len(report.tests) >= 3
    told(report)


def test_the_real_limit_of_prints_is_met_by_200_mb(judged):
    """200 MB on stdout pass the default limit of 64 MiB long before the call's time is over."""
    source = (
        "def softmax(x, axis=-1):\n    for _ in range(200):\n        print('x' * 10**6)\n\n\n"
        "def softmax_backward(grad_output, output, axis=-1):\n    pass\n"
    )
    report = judged(exercises.load("softmax"), source)
    assert report.verdict == OUTPUT
    assert "printed more than 64 MiB" in told(report)
