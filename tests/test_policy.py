"""The policy: what is banned is met whichever way leads there, what only looks like it is not; staff may overrule."""

import ast
import fnmatch
import json
import re
import subprocess
import sys
from typing import Any

import pytest

from grader import embedded
from grader import exercise as exercises
from grader.config import Config
from grader.engine import MODULES
from grader.errors import ExerciseError, UsageError
from grader.formats import concise, gradescope, junit
from grader.harness import Ban, Refusal, lines_with
from grader.verdict import Verdict

POLICY = exercises.load("attention").policy

# --- the look at the source

PLAIN = {
    "import torch\ny = torch.nn.functional.scaled_dot_product_attention": 2,
    "import torch.nn.functional as F\n\n\ndef f(q):\n    return F.scaled_dot_product_attention(q, q, q)": 5,
    "from torch.nn.functional import scaled_dot_product_attention as mine": 1,
    "from torch import nn\nlayer = nn.MultiheadAttention(4, 2)": 2,
    "import torch\nnn = torch.nn\nF = nn.functional\nf = F.multi_head_attention_forward": 4,
    "def f(q):\n    import torch as t\n    g = t.nn.functional\n    return g.scaled_dot_product_attention(q, q, q)": 4,
    "import torch.nn.attention.flex_attention": 1,
    "from torch.nn.functional import *\ny = scaled_dot_product_attention(1, 2, 3)": 2,
    "import torch\ny = getattr(torch.nn.functional, 'scaled_dot_product_attention')": 2,
    "import torch\ny = getattr(getattr(torch, 'nn'), 'MultiheadAttention', None)": 2,
    "import torch\ny = torch.ops.aten._flash_attention_forward.default": 2,
    "import torch\n\n\nclass Layer(torch.nn.TransformerEncoderLayer):\n    pass": 4,
    "if (F := __import__('torch')):\n    import torch as F\n    F.nn.MultiheadAttention": 3,
}
OWN = [
    "def scaled_dot_product_attention(q, k, v): return q\n\ny = scaled_dot_product_attention(1, 2, 3)",
    "import torch\n\n\nclass Layer(torch.nn.Module):\n    def f(self): return self.flex_attention(self.attention_mask)",
    "import torch\n\n\nclass MultiheadAttention(torch.nn.Module):\n    pass\n\n\nlayer = MultiheadAttention()",
    '"""Like torch.nn.MultiheadAttention."""\n# F.scaled_dot_product_attention(q, k, v)\nx = "nn.MultiheadAttention"',
    "import torch.nn.functional as F\ny = hasattr(F, 'scaled_dot_product_attention')",
    "import torch\ny = torch.nn.Transformer.generate_square_subsequent_mask(3)",
    "import torch.nn.functional as F\n\n\ndef f(F): return F.flex_attention",
    "import torch\nself_attention_weights = torch.softmax(torch.ones(3), -1)",
    "from torch.nn.functional import *\ndef flex_attention(q): return q\ny = flex_attention(1)",
    "from . import torch\ny = torch.MultiheadAttention",
]


def ban(names=POLICY.names):
    """Return a ban that has banned nothing yet, to look at sources with."""
    return Ban(names, [], RuntimeError)


@pytest.mark.parametrize(("source", "line"), PLAIN.items())
def test_a_plain_use_is_found_with_its_line(source, line):
    """Imports, aliases of aliases and literal getattr are followed to a name of the library."""
    with pytest.raises(Refusal) as refused:
        ban().check(ast.parse(source))
    assert refused.value.fields["kind"] == "policy"
    assert refused.value.fields["line"] == line
    assert refused.value.fields["name"].startswith("torch.")


@pytest.mark.parametrize(
    "pattern", ["*attention*", "attention*", "*::attention", "*", "?ttention", "[ab]*", "nothing", "*a*attention*", ""]
)
def test_names_are_found_in_one_text_as_they_are_in_a_list(pattern):
    """The index is searched as text for what may match; that is never less than what does."""
    names = ["aten::attention", "attention", "an_attention_of_attentions", "attn", "a", "bttention", "aten::attention"]
    text = "\n".join(names)
    assert fnmatch.filter(lines_with(text, pattern), pattern) == fnmatch.filter(names, pattern)


@pytest.mark.parametrize("source", OWN)
def test_what_only_looks_like_it_is_not_found(source):
    """A name of the student's own, a text, a comment and a question whether a name exists are no use of it."""
    ban().check(ast.parse(source))


def test_names_of_numpy_are_found():
    """NumPy exercises have names too; a method of an array may have such a name."""
    source = "import numpy as np\nx = np.ones(3)\ny = x.convolve\nz = np.convolve(x, x)"
    with pytest.raises(Refusal) as refused:
        ban(["convolve"]).check(ast.parse(source))
    assert refused.value.fields == {"kind": "policy", "name": "numpy.convolve", "line": 4}


# --- the ban in a running process

DRIVER = """
import json, os, sys, threading
from grader.harness import Harness

hello, sources = json.load(sys.stdin)
out = sys.stdout.fileno()
harness = Harness(lambda header, payload: os.write(out, json.dumps(header).encode() + b"\\n") and None, None)

def ask(**request):
    harness.handle({"nonce": "1", **request}, b"")
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()

ask(op="hello", **hello)
answers = []
for source in sources:
    read, out = os.pipe()
    if os.fork() == 0:
        ask(op="load", source={"t": "str", "v": source}, interface=[])
        none = {"args": {"t": "list", "v": []}, "kwargs": {"t": "dict", "k": [], "v": []}}
        ask(op="call", target={"name": "attention"}, **none)
        ask(op="flush")
        os._exit(0)
    os.close(out)
    answers.append([json.loads(line) for line in os.fdopen(read)])
    os.wait()
sys.stdout.write(json.dumps(answers))
"""
HEAD = """\
import gc, importlib, operator, sys, threading
import torch
F = vars(torch.nn)["functional"]
q = torch.ones(1, 2, 3, 4)
x = torch.ones(2, 3, 4)
key = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
sdpa = "aten::scaled_dot_" + "product_attention"
"""
SDPA = "F.scaled_dot_product_attention(q, q, q)"
MHA = "x, x, x, 4, 2, torch.ones(12, 4), None, None, None, False, 0.0, torch.ones(4, 4), None"
EVASIONS = {
    "alias": "f = F.scaled_dot_product_attention; return f(q, q, q)",
    "built name": "return getattr(F, 'scaled_dot' + '_product_attention')(q, q, q)",
    "importlib": "return importlib.import_module('torch.nn.' + 'functional').scaled_dot_product_attention(q, q, q)",
    "attrgetter": "return operator.attrgetter('nn.functional.scaled_dot_product_attention')(torch)(q, q, q)",
    "exec": f"exec({SDPA!r})",
    "eval in exec": f"exec({f'eval({SDPA!r})'!r})",
    "C function": "return vars(torch._C._nn)['scaled_dot' + '_product_attention'](q, q, q)",
    "packet": "return getattr(torch.ops.aten, sdpa[6:])(q, q, q)",
    "overload": "return getattr(torch.ops.aten, sdpa[6:]).default(q, q, q)",
    "redispatch": "return getattr(torch.ops.aten, sdpa[6:]).default.redispatch(key, q, q, q)",
    "decompose": "return getattr(torch.ops.aten, sdpa[6:]).default.decompose(q, q, q)",
    "maths": "return getattr(torch, '_scaled_dot_product' + '_attention_math')(q, q, q)",
    "flash": "return getattr(torch, '_scaled_dot_product_flash' + '_attention_for_cpu')(q, q, q)",
    "its backward": "return getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu' + '_backward')"
    "(q, q, q, q, q, q[0, 0], 0.0, False)",
    "kernel": "return torch.library.get_kernel(sdpa, 'CPU').call_boxed(key, q, q, q)",
    "composite": "return torch.library.get_kernel(sdpa, 'AutogradCPU').call_boxed(key, q, q, q)",
    "inference": f"with torch.inference_mode(): return {SDPA}",
    "autocast": f"with torch.autocast('cpu'): return {SDPA}",
    "vmap": "return torch.vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(q)",
    "vmap twice": "return torch.vmap(torch.vmap(lambda q: F.scaled_dot_product_attention(q, q, q)))(q)",
    "grad": "return torch.func.grad(lambda q: F.scaled_dot_product_attention(q, q, q).sum())(q)",
    "jvp": "return torch.func.jvp(lambda q: F.scaled_dot_product_attention(q, q, q), (q,), (q,))",
    "trace": "return torch.jit.trace(lambda q: F.scaled_dot_product_attention(q, q, q), q)(q)",
    "TorchScript": "return torch.jit.CompilationUnit('def f(q):\\n  return '"
    "'torch.nn.functional.scaled_dot_product_attention(q, q, q)\\n').f(q)",
    "graph": "g = torch._C.parse_ir('graph(%q : Tensor):\\n %p : float = prim::Constant[value=0.]()\\n'"
    "' %n : NoneType = prim::Constant()\\n %c : bool = prim::Constant[value=0]()\\n %o : Tensor = ' + sdpa + "
    "'(%q, %q, %q, %n, %p, %c, %n, %c)\\n return (%o)\\n'); return torch._C._create_function_from_graph('f', g)(q)",
    "nested": "n = torch.nested.nested_tensor([q[0], q[0]]); return F.scaled_dot_product_attention(n, n, n)",
    "sparse": "n = q.to_sparse(); return F.scaled_dot_product_attention(n, n, n)",
    "module": "return vars(torch.nn)['Multihead' + 'Attention'](4, 2)",
    "module in Python": "return importlib.import_module('torch.ao.nn.' + 'quantizable').MultiheadAttention(4, 2)",
    "made without __init__": "c = vars(torch.nn)['Multihead' + 'Attention']; return c.forward(c.__new__(c), x, x, x)",
    "encoder": "return vars(torch.nn)['Transformer' + 'EncoderLayer'](4, 2).eval()(x)",
    "whole transformer": "return torch.nn.Transformer(4, 2, 1, 1)",
    "fast path": "return getattr(torch, '_native_multi' + '_head_attention')(x, x, x, 4, 2, torch.ones(12, 4), "
    "torch.ones(12), torch.ones(4, 4), torch.ones(4))",
    "with weights": f"return F.multi_head_attention_forward({MHA}, need_weights=True)",
    "without weights": f"return F.multi_head_attention_forward({MHA}, need_weights=False)",
    "flexible": "return importlib.import_module('torch.nn.attention.flex' + '_attention').flex_attention(q, q, q)",
    "flexible inside": "m = sys.modules['torch._higher_order_ops.flex' + '_attention']; "
    "return m.sdpa_dense(q, q, q, lambda s, *_: s, (1, 1, *[None] * 10), 1.0, {})",
    "ONNX": "return importlib.import_module('torch.onnx' + '.ops').attention(q, q, q, softcap=1.0)",
    "thread": f"t = threading.Thread(target=lambda: {SDPA}); t.start(); t.join()",
    "caught": f"try: return {SDPA}\n    except BaseException: return q",
    "caught for good": f"while True:\n        try: {SDPA}\n        except BaseException: return q",
    "garbage": "[o._destroy() if hasattr(o, '_destroy') else o.reset() for o in gc.get_objects() "
    f"if type(o).__name__ in ('Library', '_DispatchModule')]; return {SDPA}",
}
WHOLE = {
    "backward": """
class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.clone()
    @staticmethod
    def backward(ctx, g): return F.scaled_dot_product_attention(q, q, q)  # here
def attention():
    x = q.clone().requires_grad_()
    Own.apply(x).sum().backward()
""",
    "between two requests": """
harness = sys.modules["__main__"].harness
def late():
    while harness.nonce: pass
    F.scaled_dot_product_attention(q, q, q)  # here
def attention(): threading.Thread(target=late).start()
""",
    "at import": "F.scaled_dot_product_attention(q, q, q)  # here",
}
TAMPERING = {
    "own kernel": """
def attention():
    library = torch.library.Library("aten", "IMPL")
    library.impl("scaled_dot_product_attention", lambda *a, **k: q, "CompositeImplicitAutograd", allow_override=True)
    library.impl("scaled_dot_product_attention", lambda *a, **k: q, "CPU", allow_override=True)
    attention.kept = library
    return F.scaled_dot_product_attention(q, q, q)
""",
    "through ctypes": """
import ctypes
def attention():  # stands for whatever finds our library in memory: another one's end shows in the same way
    library = torch._C._dispatch_library("IMPL", "aten", "", "the ban", 0)
    library.impl("scaled_dot_product_attention", "AutogradCPU", lambda *a, **k: q)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    library = torch._C._dispatch_library("IMPL", "aten", "", "mine", 0)
    library.impl("scaled_dot_product_attention", "CPU", lambda *a, **k: q)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
    return F.scaled_dot_product_attention(q, q, q)
""",
}
HONEST = {
    "attention itself": "return torch.softmax(q @ q.mT / 2, -1) @ q",
    "a layer": "return torch.nn.Linear(4, 4)(q).detach()",
    "under vmap": "return torch.vmap(lambda q: torch.softmax(q @ q.mT, -1) @ q)(q)",
    "gradients": "return torch.func.grad(lambda q: (torch.softmax(q @ q.mT, -1) @ q).sum())(q)",
    "a question": "return hasattr(F, 'scaled_dot_product_attention')",
    "a mask": "return torch.nn.Transformer.generate_square_subsequent_mask(3)",
    "TorchScript": "return torch.jit.trace(lambda q: torch.softmax(q @ q.mT, -1) @ q, q)(q)",
    "a thread": "t = threading.Thread(target=lambda: torch.softmax(q, -1)); t.start(); t.join()",
    "a broad except": "try: return torch.softmax(q, -2)\n    except BaseException: return q",
    "an operator": "f = torch.library.custom_op('mine::flex_attention', lambda q: q * 2, mutates_args=(), "
    "schema='(Tensor q) -> Tensor'); return f(q)",
    "more of PyTorch": "import torch.onnx, torch.nested, torch.nn.attention, torch.distributed, torch.ao.quantization",
}
LOOKALIKE = """
class MultiheadAttention(torch.nn.Module):
    '''Like torch.nn.MultiheadAttention.'''
    def __init__(self):
        super().__init__()
        self.flex_attention = torch.nn.Linear(4, 4)
    def forward(self, x): return self.flex_attention(x)
def scaled_dot_product_attention(q, k, v): return torch.softmax(q @ k.mT, -1) @ v
def attention(): return scaled_dot_product_attention(q, q, MultiheadAttention()(q).detach())
"""


def body(text):
    """Write a submission whose function has this body; the line that violates is the body's own."""
    return f"{HEAD}def attention():\n    {text}\n"


@pytest.fixture(scope="module")
def run():
    """Return the replies of a harness, forked for each of all submissions: PyTorch is imported once."""
    sources = {("evasion", name): body(text) for name, text in EVASIONS.items()}
    sources |= {("evasion", name): HEAD + text for name, text in WHOLE.items()}
    sources |= {("tampering", name): HEAD + text for name, text in TAMPERING.items()}
    sources |= {("honest", name): body(text) for name, text in HONEST.items()}
    sources["honest", "names of its own"] = HEAD + LOOKALIKE
    hello = {"torch": True, "modules": MODULES["torch"], "memory_bytes": 0, "max_answer_bytes": 1 << 20}
    hello |= {"names": POLICY.names, "operators": POLICY.operators}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps([hello, list(sources.values())]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    greeting, answers = done.stdout.split("\n", 1)
    assert json.loads(greeting)["status"] == "ok"
    replies = dict(zip(sources, json.loads(answers), strict=True))
    return lambda kind, name: (sources[kind, name], replies[kind, name])


@pytest.mark.parametrize("name", [*EVASIONS, *WHOLE])
def test_an_evasion_is_the_last_answer(run, name):
    """Whatever the way: the answer is the violation, with the line, and no answer follows."""
    source, replies = run("evasion", name)
    last = replies[-1]
    assert (last["status"], last.get("kind")) == ("error", "policy"), [r.get("text") for r in replies]
    lines = source.splitlines()
    marked = [number for number, line in enumerate(lines, 1) if "# here" in line]
    first = lines.index("def attention():") + 2 if not marked else marked[0]
    assert first <= last["line"] <= first + 1 if not marked else last["line"] == first
    assert last["name"].startswith("torch.")


@pytest.mark.parametrize("name", TAMPERING)
def test_undoing_the_ban_is_noticed(run, name):
    """A kernel of the student's own on top of ours makes the last question tell."""
    _, replies = run("tampering", name)
    assert [reply["status"] for reply in replies] == ["ok", "ok", "error"], [r.get("text") for r in replies]
    assert replies[-1]["kind"] == "tampered"
    assert replies[-1]["name"] == "torch.ops.aten.scaled_dot_product_attention"


@pytest.mark.parametrize("name", [*HONEST, "names of its own"])
def test_honest_work_is_left_alone(run, name):
    """Importing, calling and the last question all succeed."""
    _, replies = run("honest", name)
    assert [reply["status"] for reply in replies] == ["ok"] * 3, [r.get("text") for r in replies]


@pytest.mark.parametrize("pattern", POLICY.operators)
def test_each_pattern_of_attention_stands_for_kernels(pattern):
    """No pattern is idle, and what they match are attention's kernels and nothing else."""
    import torch

    matched = fnmatch.filter(torch._C._dispatch_get_all_op_names(), pattern)
    assert matched
    assert all(re.search("attention|transformer_(en|de)coder_layer", name) for name in matched)


# --- real judgings

ATTENTION = """import torch


def double(x, factor=2.0):
    q = x[None, None]
    try:
        getattr(torch.nn.functional, "scaled_dot_" + "product_attention")(q[..., None], q[..., None], q[..., None])
    finally:
        return factor * x
"""


@pytest.fixture
def torch_exercise(make_exercise):
    """Return the small exercise in torch with attention's policy."""
    policy = f"[policy]\nnames = {json.dumps(POLICY.names)}\noperators = {json.dumps(POLICY.operators)}\n"
    plain = make_exercise("torch").folder / "exercise.toml"
    return make_exercise("torch", {"exercise.toml": plain.read_text().replace("[versions]", f"{policy}\n[versions]")})


@pytest.fixture
def numpy_exercise(make_exercise):
    """Return the small exercise in NumPy, where `multiply` is to be written."""
    plain = make_exercise().folder / "exercise.toml"
    changed = plain.read_text().replace("[versions]", '[policy]\nnames = ["multiply"]\n\n[versions]')
    return make_exercise("function", {"exercise.toml": changed})


def assert_violation(report, message):
    """Assert that the whole submission is a violation, is worth nothing, and says why."""
    assert report.verdict is Verdict.POLICY_VIOLATION
    assert {test.verdict for test in report.tests} == {Verdict.POLICY_VIOLATION}
    assert (report.score, sum(test.points for test in report.tests)) == (0.0, 0.0)
    assert report.message == message
    assert report.log == ""


def test_a_violation_is_the_verdict_of_the_whole_submission(torch_exercise, judged):
    """A kernel met in a call, its exception caught: the line, the operator, no points."""
    message = "uses the operator aten::scaled_dot_product_attention, which this exercise asks you to write yourself."
    assert_violation(judged(torch_exercise, ATTENTION), f"Line 7 of your file {message}")


def test_undoing_the_ban_is_a_violation(torch_exercise, judged, right):
    """The last question of the judging finds a ban undone, though all answers were right."""
    undo = """
library = torch.library.Library("aten", "IMPL")
library.impl("scaled_dot_product_attention", lambda *a, **k: a[0], "CPU", allow_override=True)
"""
    report = judged(torch_exercise, "import torch\n" + right["torch"].decode() + undo)
    assert_violation(report, "Your file has undone the ban on the operator aten::scaled_dot_product_attention.")


def test_a_right_submission_under_a_policy_is_accepted(torch_exercise, judged, right):
    """The policy costs an honest submission nothing."""
    report = judged(torch_exercise, right["torch"])
    assert (report.verdict, report.score) == (Verdict.ACCEPTED, report.max_score)


PLAIN_USE = "import numpy as np\n\n\ndef double(x, factor=2.0):\n    return np.multiply(factor, x)\n"


def test_a_plain_use_is_named_with_its_line(numpy_exercise, judged):
    """The source is looked at before any of it runs."""
    message = "Line 5 of your file uses numpy.multiply, which this exercise asks you to write yourself."
    assert_violation(judged(numpy_exercise, PLAIN_USE), message)


def test_a_harness_that_does_not_answer_the_last_question_has_no_points(numpy_exercise, judged):
    """A file that takes the harness apart gets nothing for it."""
    source = """import os, sys
sys.modules["__main__"].Harness.op_flush = lambda *_: os._exit(0)


def double(x, factor=2.0):
    return factor * x
"""
    report = judged(numpy_exercise, source)
    assert (report.verdict, report.score) == (Verdict.PROTOCOL_VIOLATION, 0.0)
    assert report.message == "Your file left the judge's last question unanswered."


def test_a_forged_violation_tells_nothing(numpy_exercise, judged):
    """A file may accuse itself, but not spell the numbers it was passed."""
    source = """import sys
harness = sys.modules["__main__"]


def double(x, factor=2.0):
    raise harness.Refusal("policy", name="x" + "%d" % x.flat[0], line=int(x.flat[0]))
"""
    message = "Your file uses something, which this exercise asks you to write yourself."
    assert_violation(judged(numpy_exercise, source), message)


BOMBS = {
    "parentheses": "(" * 100_000 + ")" * 100_000,
    "operators": "x = " + "-" * 200_000 + "1",
    "chain": "x = a" + ".a" * 100_000,
    "sum": "x = " + "+".join("1" * 100_000),
    "integer": "x = " + "9" * 250_000,
    "format": "x = f'" + "{x}" * 65_000 + "'",
    "one line": "x = [" + "1," * 125_000 + "]",
    "functions": "def f(): pass\n" * 17_000,
    "lambdas": "x = " + "lambda:" * 30_000 + "0",
    "imports": "import numpy as np\n" * 13_000,
    "aliases": "import numpy as a\n" + "a = a.a\n" * 30_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_meets_the_limits_of_the_sandbox(bomb, numpy_exercise, judged):
    """Whatever the source does to whoever reads it, it is the submission's affair and never our fault."""
    report = judged(numpy_exercise, f"{BOMBS[bomb]}\n")
    limits = {Verdict.IMPORT_ERROR, Verdict.TIME_LIMIT_EXCEEDED, Verdict.MEMORY_LIMIT_EXCEEDED}
    assert report.verdict in limits, report


# --- malformed policies


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("function", 'names = ["*"]'),
        ("function", 'names = ["numpy.convolve"]'),
        ("function", 'names = ["a b cde"]'),
        ("function", 'operators = ["aten::convolution"]'),
        ("torch", 'operators = ["*::*"]'),
        ("torch", 'operators = ["attention"]'),
        ("torch", 'operators = ["aten::atten tion"]'),
    ],
)
def test_a_malformed_pattern_is_refused(kind, policy, make_exercise):
    """A pattern that cannot be meant is told when the exercise is loaded, with its line."""
    plain = (make_exercise(kind).folder / "exercise.toml").read_text()
    with pytest.raises(ExerciseError) as error:
        make_exercise(kind, {"exercise.toml": plain.replace("[versions]", f"[policy]\n{policy}\n\n[versions]")})
    assert error.value.code == "E2202"
    assert f"exercise.toml:{plain.splitlines().index('[versions]') + 2}:" in error.value.cause


# --- overruling


def test_staff_overrule_a_violation(numpy_exercise, tmp_path, monkeypatch):
    """Judged again with the same seed and without the policy; who and why stand in every form of the report."""
    monkeypatch.setenv("GRADER_EXERCISES", str(numpy_exercise.folder.parent))
    told: dict[str, Any] = {"say": lambda _: None, "on_phase": lambda _: None}
    ada = Config(home=tmp_path / "home", learner="ada", engine="local")
    staff = Config(home=tmp_path / "home", learner="grace", engine="local")
    sent = embedded.Sent("double.py", PLAIN_USE.encode())
    before = embedded.submit(numpy_exercise, sent, ada, **told)
    assert (before.verdict, before.overruled) == (Verdict.POLICY_VIOLATION, None)

    report = embedded.rejudge(before.submission, staff, reason="a slip of ours", **told)
    assert (report.verdict, report.score, report.seed) == (Verdict.ACCEPTED, report.max_score, before.seed)
    assert report.overruled is not None
    assert (report.overruled.by, report.overruled.reason) == ("grace", "a slip of ours")
    for form in (concise, gradescope, junit):
        assert "policy overruled by grace: a slip of ours" in form(report)

    with pytest.raises(UsageError) as error:
        embedded.rejudge(before.submission, staff, reason="once more", **told)
    assert error.value.code == "E2115"
    again = embedded.rejudge(before.submission, ada, **told)
    assert (again.verdict, again.overruled) == (Verdict.ACCEPTED, report.overruled)
