"""What hidden tests see as `submission`: every kind of value, object and call, and submissions that abuse them."""

import ast

import numpy as np
import pytest

from grader import exercise as exercises
from grader.checkers import assert_close, assert_unchanged
from grader.failures import Failures, clean
from grader.local import LocalEngine
from grader.oracle import Oracle, load_module
from grader.proxy import Submission
from grader.session import Session, call_form
from grader.verdict import Rejected, Verdict
from grader.wire import Callback, Handle

VALUES = """
import numpy as np

def anything(x):
    return x

def array(x):
    return x

def scalar(x):
    return x

def whole(x):
    return x

def pair(x):
    return x

def many(x):
    return x

def named(x):
    return x

def nothing(x):
    return x
"""
SIGNATURES = {
    "anything": "any", "array": "array", "scalar": "scalar", "whole": "int", "pair": "(array, scalar)",
    "many": "[array]", "named": "{array}", "nothing": "none",
}  # fmt: skip

COUNTER = '''
import numpy as np


class Counter:
    """Counts and keeps."""

    def __init__(self, start, params=(), scale=1.0):
        self.count = start
        self.params = params
        self.scale = scale

    def add(self, amount, times=1):
        """Add in place to every parameter."""
        self.count += amount * times
        for param in self.params:
            param += self.scale * amount
        return self.count

    def absorb(self, other):
        """Take another counter's count."""
        self.count += other.count


def total(counter):
    """Return an object's count."""
    return counter.count


def fill(x, value):
    """Fill in place."""
    x[...] = value
'''
COUNTER_TOML = """
[[functions]]
name = "total"
signature = "(counter)"
returns = "int"

[[functions]]
name = "fill"
signature = "(x, value)"
returns = "none"

[[classes]]
name = "Counter"
signature = "(start, params=(), scale=1.0)"
attributes = { count = "int", params = "[array]" }

[[classes.methods]]
name = "add"
signature = "(amount, times=1)"
returns = "int"

[[classes.methods]]
name = "absorb"
signature = "(other)"
returns = "none"
"""

CALLER = """
def use(f, x):
    return f(x)


class Solver:
    def __init__(self, f):
        self.f = f

    def solve(self, x):
        return self.f(x)
"""
CALLER_TOML = """
[[functions]]
name = "use"
signature = "(f, x)"
returns = "any"

[[classes]]
name = "Solver"
signature = "(f)"

[[classes.methods]]
name = "solve"
signature = "(x)"
returns = "any"
"""


def toml_functions(returns, signature="(x)"):
    """Declare functions by name."""
    return "".join(
        f'\n[[functions]]\nname = "{name}"\nsignature = "{signature}"\nreturns = "{text}"\n'
        for name, text in returns.items()
    )


@pytest.fixture
def opened(write_exercise):
    """Open a session on a submission, in a real sandbox: `opened(interface, reference, source)`."""
    sessions = []

    def start(interface, reference, source=None, *, kind="numpy"):
        limits = "[limits]\ncall_seconds = 5.0\nimport_seconds = 5.0\n"
        files = {
            "exercise.toml": f'title = "T"\ntrack = "T"\ndifficulty = 1\nkind = "{kind}"\n{limits}{interface}\n'
            '[versions]\n1 = "First."\n',
            "starter.py": reference,
            "reference": reference,
            "wrong/three.py": None,
            "wrong/no_factor.py": None,
            "wrong/negative.py": None,
        }
        exercise = exercises.load_folder(write_exercise("function", files))
        session = Session(exercise, LocalEngine(), Failures(exercise, source=source or reference))
        sessions.append(session)
        session.load()
        session.begin()
        return Submission(session)

    yield start
    for session in sessions:
        session.close()


def oracle(submission):
    """Return the reference of a submission's exercise."""
    exercise = submission.session.exercise
    return Oracle(exercise, load_module(exercise.reference, "_reference_under_test"), np.random.default_rng(1))


def rejected(call, *args, **kwargs):
    """Call, and return the rejection that must come of it."""
    with pytest.raises(Rejected) as caught:
        call(*args, **kwargs)
    return caught.value


@pytest.fixture
def values(opened):
    """Give functions that return their argument, each with its own declared type."""
    return opened(toml_functions(SIGNATURES), VALUES)


def test_answers_arrive_in_the_declared_form(values):
    """Lists come as tuples, NumPy scalars as arrays, whole numbers as ints; values as they were."""
    assert values.pair([np.arange(2.0), 1.5])[1] == 1.5
    assert [part.tolist() for part in values.many([np.zeros(1), np.ones(2)])] == [[0.0], [1.0, 1.0]]
    assert isinstance(values.many([]), tuple)
    assert values.named({"a": np.ones(1)})["a"].tolist() == [1.0]
    assert values.scalar(np.float32(0.5)).dtype == np.float32
    assert type(values.whole(np.int16(3))) is int
    assert values.nothing(None) is None
    nested = {"a": [1, (2.0, "x", None, True)], "b": {}}
    assert values.anything(nested) == nested
    inside = values.anything([np.float32(2), (np.int8(1),)])
    assert inside[0].dtype == np.float32
    assert inside[1][0].dtype == np.int8


OTHER_FORMS = [
    ("array", 1.0),
    ("array", [1.0]),
    ("array", None),
    ("array", "array"),
    ("scalar", True),
    ("scalar", 1j),
    ("scalar", "1"),
    ("scalar", np.zeros(1)),
    ("scalar", 2**70),
    ("whole", 1.0),
    ("whole", True),
    ("whole", 2**63),
    ("pair", [np.zeros(1)]),
    ("pair", np.zeros(2)),
    ("pair", [1.0, np.zeros(1)]),
    ("many", np.zeros((2, 2))),
    ("many", [np.zeros(1), [1.0]]),
    ("named", [np.zeros(1)]),
    ("named", {"a": 1.0}),
]


def test_another_form_than_declared_is_a_wrong_answer(values):
    """What is not of the declared form is the submission's mistake, said in words without the content."""
    for name, answer in OTHER_FORMS:
        error = rejected(getattr(values, name), answer)
        assert error.verdict is Verdict.WRONG_ANSWER
        assert " is expected" in error.message or "are expected" in error.message


@pytest.mark.parametrize("answer", [None, 0, [np.zeros(3)], "done"])
def test_where_nothing_is_used_anything_may_be_returned(values, answer):
    """A function declared to return nothing may return what it likes; the test sees None."""
    assert values.nothing(answer) is None


FRIENDLY = """
import numpy as np

class Friendly:
    def __eq__(self, other): return True
    def __array__(self, *args, **kwargs): return np.zeros(1)
    def __float__(self): return 0.0
    def __len__(self): return 1
    def __getitem__(self, index): return 0.0
    shape, ndim, dtype = (), 0, np.dtype("f8")

class Sub(np.ndarray):
    pass

class Float(float):
    pass

def anything(x):
    return {"friendly": [Friendly()], "subclass": np.zeros(3).view(Sub), "float": (Float(1),), "type": {"a": int}}[x]
"""


@pytest.mark.parametrize("kind", ["friendly", "subclass", "float", "type"])
def test_objects_never_reach_a_test(opened, kind):
    """Objects that pretend, subclasses and types are refused even where anything is allowed, and inside lists."""
    submission = opened(toml_functions({"anything": "any"}), "def anything(x):\n    return x\n", FRIENDLY)
    if kind in ("friendly", "float"):  # the file's own classes may stay there, as opaque handles
        assert all(isinstance(part, Handle) for part in submission.anything(kind))
    else:
        assert rejected(submission.anything, kind).verdict is Verdict.WRONG_ANSWER


def test_objects_with_methods_and_attributes(opened):
    """An object lives in the sandbox: methods change it, declared attributes are fetched, two are told apart."""
    submission = opened(COUNTER_TOML, COUNTER)
    one, two = submission.Counter(1), submission.Counter(10, scale=2.0)
    assert one.add(2) == 3
    assert one.add(2, times=3) == 9
    assert two.count == 10
    two.absorb(one)
    assert two.count == 19
    assert submission.total(two) == 19
    with pytest.raises(AttributeError, match="declares no"):
        _ = one.scale
    with pytest.raises(AttributeError, match="declares no"):
        _ = submission.Other


def test_held_arrays_change_in_place(opened):
    """A held array is one array: passed alone or in a list, changed inside, fetched at any time, kept as it lies."""
    submission = opened(COUNTER_TOML, COUNTER)
    memory = np.zeros((3, 4))
    held = submission.hold(memory[::-1, ::2])
    submission.fill(held, 2.0)
    counter = submission.Counter(0, params=[held, submission.hold(np.ones(2))])
    counter.add(1)
    assert held.fetch().tolist() == [[3.0, 3.0]] * 3
    assert [param.shape for param in counter.params] == [(3, 2), (2,)]
    assert memory.sum() == 0
    assert_unchanged(submission)


def test_the_oracle_offers_the_same_objects(opened):
    """Classes, held arrays and attributes of the reference answer in the same words."""
    submission = opened(COUNTER_TOML, COUNTER)
    got, want = submission, oracle(submission)
    results = []
    for side in (got, want):
        held = side.hold(np.zeros(3))
        counter = side.Counter(1, params=[held], scale=0.5)
        counter.add(2)
        results.append((held.fetch(), counter.params[0], counter.count))
    assert results[0][0].tolist() == results[1][0].want.tolist() == [1.0] * 3
    assert results[0][1].tolist() == results[1][1].want.tolist()
    assert results[0][2] == results[1][2].want == 3


def test_a_missing_attribute_is_a_wrong_answer(opened):
    """An object without a declared attribute is told which one it lacks."""
    without = COUNTER.replace("self.count = start", "self.number = start")
    counter = opened(COUNTER_TOML, COUNTER, without).Counter(1)
    assert rejected(lambda: counter.count).message == "Counter.count does not exist."


def test_a_constructor_must_give_an_object(opened):
    """A class that makes numbers or arrays instead of objects is refused, not believed."""
    strange = COUNTER + "\nCounter.__new__ = lambda cls, *args, **kwargs: np.zeros(3)\n"
    error = rejected(opened(COUNTER_TOML, COUNTER, strange).Counter, 1)
    assert error.verdict is not Verdict.ACCEPTED
    assert error.verdict is not Verdict.INTERNAL_ERROR


@pytest.mark.parametrize(
    ("mutation", "changed"),
    [
        ("x += 1", True),
        ("x[0] = -0.0", True),
        ("x.shape = (2, 1)", True),
        ("x.sort()", False),
        ("x[...] = x.copy()", False),
        ("pass", False),
    ],
)
def test_a_changed_array_is_noticed(opened, mutation, changed):
    """One bit is enough; writing the same value is no change."""
    source = f"import warnings\nwarnings.simplefilter('ignore')\ndef f(x):\n    {mutation}\n"
    submission = opened(toml_functions({"f": "none"}), "def f(x):\n    pass\n", source)
    submission.f(np.array([0.0, 1.0]))
    check_unchanged(submission, changed)


def check_unchanged(submission, changed):
    """Ask whether arguments were changed."""
    if changed:
        assert "changed its argument `x`" in rejected(assert_unchanged, submission).message
    else:
        assert_unchanged(submission)


INSIDE = [
    "x['l'][0] = 5", "x['l'].append(1)", "x['l'].reverse()", "x['l'][1] = 2.0000000000000004", "x['d']['k'] = 1",
    "x['d'].clear()", "x['a'] *= 2", "x['a'] = x['a'].astype('f4')", "x['t'][0][0] = 9.0", "x['n'] = 0", "x['b'] = 1",
    "x['s'] = 'other'", "x['np'] = x['np'] + 1", "del x['s']",
]  # fmt: skip


def test_changes_inside_lists_and_dicts_are_noticed(opened):
    """Numbers, texts, None, arrays: nothing inside a list, tuple or dict can change unnoticed, nor seems to."""
    source = "import copy\n\ndef f(x, line):\n    exec(line)\n"
    submission = opened(toml_functions({"f": "none"}, "(x, line)"), "def f(x, line):\n    pass\n", source)
    for line in INSIDE:
        for harmless in (True, False):
            submission.session.begin()
            value: dict[str, object] = {"l": [1, 2.0, float("nan")], "d": {"k": None}, "a": np.ones(2), "t": ([3.0],)}
            value |= {"n": None, "b": True, "s": "text", "np": np.float32(1)}
            submission.f(value, f"x = copy.deepcopy(x); {line}" if harmless else line)
            check_unchanged(submission, not harmless)


def test_changes_of_an_earlier_call_and_of_keywords_are_noticed(opened):
    """Every call since the test began is looked at, later changes and keyword arguments included."""
    source = "kept = []\ndef f(x=None):\n    kept.append(x)\n    kept[0][0] = len(kept)\n"
    submission = opened(toml_functions({"f": "none"}, "(x=None)"), "def f(x=None):\n    pass\n", source)
    submission.f(x=np.ones(2))
    assert_unchanged(submission)
    submission.f(np.ones(1))
    check_unchanged(submission, changed=True)
    submission.session.begin()
    assert_unchanged(submission)


# --- callbacks


def test_callbacks_are_answered_and_counted(opened):
    """A function passed as an argument is computed by the judge, and each call counts."""
    source = CALLER.replace("    return f(x)\n", "    return sum(f(x * i) for i in range(5))\n", 1)
    submission = opened(CALLER_TOML, CALLER, source)
    square = Callback(lambda x: x @ x)
    assert submission.use(square, np.array([1.0, 2.0])) == 150.0
    assert square.calls == 5
    assert submission.use(lambda x: x, 1.0) == 10.0


def test_callbacks_see_numpy_scalars_lists_and_dicts_as_they_were(opened):
    """What a submission passes to the function arrives with its type, NumPy scalars included."""
    seen = []
    source = "import numpy as np\n" + CALLER.replace(
        "    return f(x)\n",
        "    return f(np.float32(2), 1, [np.int8(3), (None, 'a')], {'k': np.arange(2)}, np.array(1.0))\n",
        1,
    )
    opened(CALLER_TOML, CALLER, source).use(lambda *args: seen.extend(args), 0)
    assert [type(part) for part in seen] == [np.float32, int, list, dict, np.ndarray]
    assert type(seen[2][0]) is np.int8
    assert seen[3]["k"].tolist() == [0, 1]


def test_an_object_may_keep_a_function_and_call_it_later(opened):
    """A function given to a constructor can be called in every method of the same test."""
    submission = opened(CALLER_TOML, CALLER)
    double = Callback(lambda x: 2 * x)
    solver = submission.Solver(double)
    assert solver.solve(4) == 8
    assert solver.solve(5) == 10
    assert double.calls == 2


def test_a_function_of_the_test_before_is_gone(opened):
    """What was passed in one test cannot be called in the next."""
    source = "kept = []\n" + CALLER.replace("    return f(x)\n", "    kept.append(f)\n    return kept[0](x)\n", 1)
    submission = opened(CALLER_TOML, CALLER, source)
    first, second = Callback(lambda x: x), Callback(lambda x: -x)
    assert submission.use(first, 1) == 1
    submission.session.begin()
    assert rejected(submission.use, second, 1).verdict is Verdict.RUNTIME_ERROR
    assert (first.calls, second.calls) == (1, 0)


def test_a_function_that_raises_raises_in_the_submission(opened):
    """The submission can catch it, as it could at home; uncaught, it is a runtime error."""
    catching = CALLER.replace(
        "    return f(x)\n", "    try:\n        return f(x)\n    except ValueError:\n        return -1\n", 1
    )
    submission = opened(CALLER_TOML, CALLER, catching)
    assert submission.use(lambda x: 1 / x, 0) == -1
    solver = submission.Solver(lambda x: [][x])
    assert rejected(solver.solve, 0).verdict is Verdict.RUNTIME_ERROR
    assert submission.use(lambda x: x, 3) == 3


GARBAGE = [
    "None", "'text'", "'x' * 60000", "[]", "[[[]]]", "{'a': 1}", "object()", "f", "2 ** 62", "2 ** 200", "float('nan')",
    "np.zeros(0)", "np.zeros((3, 0, 2))", "np.zeros((7, 11))", "np.zeros(3, complex)", "np.array(['a'])",
    "np.ones(5) > 2",
    "np.full(32000, 1e308)", "Thing()", "(x for x in ())",
]  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        lambda x: 0.5 * x @ np.eye(3) @ x,
        lambda x: np.sum(np.asarray(x) ** 2),
        lambda x: np.outer(x, x),
        lambda x: np.outer(x, x).repeat(10**9, axis=0),
        lambda x: x.nothing,
    ],
)
def test_functions_called_with_garbage_do_no_harm(opened, function):
    """Whatever a function of the judge's is called with, it is the submission that fails or goes on."""
    tries = "".join(f"    try:\n        f({garbage})\n    except ValueError:\n        pass\n" for garbage in GARBAGE)
    source = "import numpy as np\nclass Thing:\n    pass\n" + CALLER.replace(
        "    return f(x)\n", f"{tries}    return 'gone through'\n", 1
    )
    callback = Callback(function)
    assert opened(CALLER_TOML, CALLER, source).use(callback, 1.0) == "gone through"
    assert callback.calls == len(GARBAGE)


def test_a_function_called_with_megabytes_raises(opened):
    """What the judge computes for a submission is small: larger arguments do not leave the sandbox."""
    source = "import numpy as np\n" + CALLER.replace("    return f(x)\n", "    return f(np.zeros(1 << 20))\n", 1)
    error = rejected(opened(CALLER_TOML, CALLER, source).use, lambda x: x, 1.0)
    assert error.verdict is Verdict.RUNTIME_ERROR
    assert "ValueError" in error.message


THREADS = """
import threading


def use(f, x):
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(f(x + i))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


class Solver:
    def __init__(self, f):
        pass

    def solve(self, x):
        pass
"""


def test_functions_may_be_called_from_threads(opened):
    """Eight threads call at once, and each gets its own answer."""
    function = Callback(lambda x: 10 * x)
    assert opened(CALLER_TOML, CALLER, THREADS).use(function, 1) == [10 * i for i in range(1, 9)]
    assert function.calls == 8


def test_threads_that_are_not_waited_for_break_no_frame(opened):
    """A call returns while threads still ask: the frames do not mix, and the answer is the call's own."""
    source = THREADS.replace("    for thread in threads:\n        thread.join()\n", "").replace("sorted(answers)", "x")
    submission = opened(CALLER_TOML, CALLER, source)
    verdict = Verdict.ACCEPTED
    try:
        answer = submission.use(lambda x: 10 * x, 1)
    except Rejected as error:
        verdict, answer = error.verdict, 1
    assert answer == 1
    assert verdict in (Verdict.ACCEPTED, Verdict.PROTOCOL_VIOLATION)


# --- generators, by state


def test_generators_draw_inside_what_a_copy_draws_outside(opened):
    """The submission's draws are those of a copy of the generator, and the judge's own does not move."""
    source = "def f(x):\n    return x.normal(size=3), x.random()\n"
    submission = opened(toml_functions({"f": "(array, scalar)"}), source)
    rng = np.random.default_rng(11)
    rng.random(5)
    want = np.random.default_rng(11)
    want.random(5)
    got = submission.f(rng)
    again = submission.f(rng)
    expected = oracle(submission).f(rng)
    assert got[0].tolist() == again[0].tolist() == want.normal(size=3).tolist() == expected[0].want.tolist()
    assert got[1] == want.random() == expected[1].want


# --- torch

LAYER = '''
import torch


class Layer(torch.nn.Module):
    """An affine layer with a running count."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.weight = torch.nn.Parameter(torch.zeros(outputs, inputs))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x):
        """Return x W^T + b."""
        return self.scale * (x @ self.weight.T + self.bias)


def double(x):
    """Return 2 x."""
    return 2 * x
'''
LAYER_TOML = """
[[functions]]
name = "double"
signature = "(x)"
returns = "tensor"

[[classes]]
name = "Layer"
signature = "(inputs, outputs)"

[[classes.methods]]
name = "forward"
signature = "(x)"
returns = "tensor"
"""


def test_torch_modules_with_states_and_gradients(opened):
    """A module takes a state and its dtype; outputs, gradients of inputs and of named parameters come back."""
    torch = pytest.importorskip("torch")
    submission = opened(LAYER_TOML, LAYER, kind="torch")
    layer = submission.Layer(3, 2)
    state = {
        "weight": torch.arange(6.0, dtype=torch.float64).reshape(2, 3),
        "bias": torch.ones(2, dtype=torch.float64),
        "scale": torch.tensor(2.0, dtype=torch.float64),
    }
    layer.load_state_dict(state)
    assert {name: value.tolist() for name, value in layer.state_dict().items()} == {
        name: value.tolist() for name, value in state.items()
    }
    x = torch.tensor([[1.0, -1.0, 2.0]], dtype=torch.float64)
    recording = layer.forward.record(x)
    assert recording.output.tolist() == [[8.0, 20.0]]
    cotangent = torch.tensor([[1.0, 10.0]], dtype=torch.float64)
    assert recording.backward(cotangent)[0].tolist() == [[60.0, 82.0, 104.0]]
    weight, bias = recording.backward(cotangent, module=layer, parameters=("weight", "bias"))
    assert weight.tolist() == [[2.0, -2.0, 4.0], [20.0, -20.0, 40.0]]
    assert bias.tolist() == [2.0, 20.0]
    assert (
        "scale does not exist" in rejected(recording.backward, cotangent, module=layer, parameters=("scale",)).message
    )
    reference_layer = oracle(submission).Layer(3, 2)
    for side in (layer, reference_layer):
        side.load_state_dict({name: value.float() for name, value in state.items()})
    assert layer.forward(x.float()).dtype == torch.float32
    recording, wanted = (side.forward.record(x.float()) for side in (layer, reference_layer))
    assert recording.output.tolist() == wanted.output.want.tolist()
    mine, theirs = (
        each.backward(cotangent.float(), module=module, parameters=("weight", "bias"))
        for each, module in ((recording, layer), (wanted, reference_layer))
    )
    assert_close(mine, theirs, ("grad_weight", "grad_bias"))
    assert mine[0].dtype == torch.float32
    assert rejected(layer.load_state_dict, {"weight": state["weight"]}).verdict is Verdict.RUNTIME_ERROR
    assert_unchanged(submission)


def test_tensors_recordings_and_mutation(opened):
    """Held tensors change in place, other tensors must not; a detached output has no gradient; bfloat16 crosses."""
    torch = pytest.importorskip("torch")
    source = LAYER.replace(
        "    return 2 * x",
        "    if x.dim() == 2:\n        x.mul_(2)\n        return x\n"
        "    return (2 * x).detach() if x.dim() == 1 else 2 * x",
    )
    submission = opened(LAYER_TOML, LAYER, source, kind="torch")
    held = submission.hold(torch.ones(1, 2))
    submission.double(held)
    assert held.fetch().tolist() == [[2.0, 2.0]]
    assert submission.double(torch.ones(1, 1, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert submission.double(torch.zeros(1, 0, 2)).shape == (1, 0, 2)
    error = rejected(submission.double.record(torch.ones(2)).backward, torch.ones(2))
    assert error.verdict is Verdict.WRONG_ANSWER
    assert "autograd" in error.message
    assert_unchanged(submission)
    submission.double(torch.ones(2, 2))
    check_unchanged(submission, changed=True)


# --- whole judgings

HARNESS = (
    "import __main__\nimport numpy as np\nH = __main__.Harness\ndef double(x, factor=2.0):\n    return factor * x\n"
)
FORGERIES = [
    "H.op_changed = lambda *_: [[0, 'double', -(10**6)]]",
    "H.op_changed = lambda *_: [[0, 'double', 10**18]]",
    "H.op_changed = lambda *_: [[0, 'x' * 9999, {}]]",
    "H.op_changed = lambda *_: np.zeros(2)",
    "H.op_hold = lambda *_: __main__.Kept(2**31)",
    "H.op_hold = lambda *_: 5",
    "H.op_fetch = lambda *_: [1, 2]",
    "H.forget = lambda *_: 1 / 0",
    "H.op_call = lambda *_: {'a': np.zeros(2)}",
    "H.reply = lambda h, *_: h.send({'nonce': h.nonce, 'status': 'error', 'kind': 'missing', 'line': 2**31}, [])",
    "H.reply = lambda h, f, v=None: h.send({'nonce': h.nonce, 'status': 'error', 'kind': 'accepted'}, [])",
    "H.reply = lambda h, *_: h.send({'nonce': h.nonce, 'status': 'ok', 'value': {'t': 'int', 'v': '9' * 60}}, [])",
]


def test_a_forged_harness_is_never_our_fault_and_wins_nothing(judged, make_exercise):
    """A submission that rewrites the harness it runs in can only answer wrongly; the judge is not confused."""
    hidden = '''from grader.checkers import assert_close, assert_unchanged


def test_doubles(submission, reference, rng):
    """Doubles."""
    x = rng.normal(size=3)
    held = submission.hold(x)
    submission.double(held)
    assert_close(held.fetch(), reference.hold(x).fetch())
    assert_close(submission.double(x), reference.double(x))
    assert_unchanged(submission)


def test_factor(submission, reference, rng):
    """Uses the factor."""
    x = rng.normal(size=3)
    assert_close(submission.double(x, factor=3.0), reference.double(x, factor=3.0))
'''
    exercise = make_exercise("function", {"hidden_tests.py": hidden})
    assert judged(exercise, HARNESS).verdict is Verdict.ACCEPTED
    for forgery in FORGERIES:
        report = judged(exercise, HARNESS + forgery + "\n")
        assert report.verdict not in (Verdict.INTERNAL_ERROR, Verdict.ACCEPTED), (forgery, report.log)
        assert report.log == ""


def test_dicts_of_arrays_are_judged_and_explained(judged, make_exercise):
    """Answers that are dicts are compared key by key, with the reference and with known mistakes."""
    files = {file: make_exercise("function").folder.joinpath(file) for file in ("exercise.toml", "wrong/three.py")}
    reference = make_exercise("function").reference.read_text()
    exercise = make_exercise(
        "function",
        {
            "exercise.toml": files["exercise.toml"].read_text().replace('"array"', '"{array}"'),
            "wrong/three.py": files["wrong/three.py"].read_text().replace("return 3.0 * x", "return {'y': 3.0 * x}"),
            "reference": reference.replace("return factor * x\n", "return {'y': factor * x}\n"),
        },
    )
    answers = {
        "{'y': factor * x}": Verdict.ACCEPTED,
        "{'y': 3.0 * x}": Verdict.WRONG_ANSWER,
        "{'z': 3.0 * x}": Verdict.WRONG_ANSWER,
        "{'y': x, 'z': x}": Verdict.WRONG_ANSWER,
        "{'y': x[None, None]}": Verdict.WRONG_ANSWER,
        "{'y': [x]}": Verdict.WRONG_ANSWER,
        "{}": Verdict.WRONG_ANSWER,
    }
    for answer, verdict in answers.items():
        report = judged(exercise, f"def double(x, factor=2.0):\n    return {answer}\n")
        assert (report.verdict, report.log) == (verdict, ""), answer
        assert bool(report.tests[0].explanation) == (answer == "{'y': 3.0 * x}")


def test_a_scalar_of_200_bits_is_a_wrong_answer_not_our_fault(judged, make_exercise):
    """A number that NumPy cannot hold is an ordinary wrong answer."""
    changes = {
        "exercise.toml": make_exercise("function")
        .folder.joinpath("exercise.toml")
        .read_text()
        .replace('returns = "array"', 'returns = "scalar"'),
        "hidden_tests.py": '''import numpy as np
from grader.checkers import assert_close


def test_doubles(submission, reference, rng):
    """Doubles a number."""
    assert_close(submission.double(1.5), reference.double(1.5))


def test_factor(submission, reference, rng):
    """Uses the factor."""
    assert_close(submission.double(1.5, factor=3.0), reference.double(1.5, factor=3.0))
''',
    }
    exercise = make_exercise("function", changes)
    report = judged(exercise, "def double(x, factor=2.0):\n    return 10 ** 50\n")
    assert report.verdict is Verdict.WRONG_ANSWER
    assert report.log == ""
    assert judged(exercise, "def double(x, factor=2.0):\n    return factor * x\n").verdict is Verdict.ACCEPTED


ODD_ANSWERS = [
    "np.zeros((0, 1 << 20))", "np.zeros((1,) * 32)", "np.array(None)", "np.float64('nan')", "x.astype(complex)",
    "1 << 62",
    "[x] * 5000", "np.ma.array(x, mask=True)", "np.broadcast_to(x, (10 ** 6, x.size))", "iter([x])",
    "type('T', (), {'__module__': 5})()",
]  # fmt: skip


def test_odd_answers_are_never_our_fault(judged, make_exercise):
    """A file that answers with one odd thing after the other gets a verdict of its own each time."""
    exercise = make_exercise("function")
    for answer in ODD_ANSWERS:
        source = f"import numpy as np\ndef double(x, factor=2.0):\n    return {answer}\n"
        report = judged(exercise, source)
        assert report.verdict not in (Verdict.INTERNAL_ERROR, Verdict.ACCEPTED), (answer, report.log)
        assert report.log == ""


def test_a_flood_of_prints_by_a_thread_is_never_our_fault(judged, make_exercise):
    """Printing that goes on after the answer, and while the sandbox is closed, is accepted or over the limit."""
    source = "import os, threading\ndef flood():\n    while True:\n        os.write(2, b'x' * 4096)\n"
    source += "for _ in range(4):\n    threading.Thread(target=flood).start()\n"
    source += "def double(x, factor=2.0):\n    return factor * x\n"
    report = judged(make_exercise("function"), source)
    assert report.verdict in (Verdict.ACCEPTED, Verdict.OUTPUT_LIMIT_EXCEEDED)
    assert report.log == ""


# --- small parts


@pytest.mark.parametrize(
    ("signature", "form"),
    [
        ("()", (0, [])),
        ("(x)", (1, [])),
        ("(x, y, /, z=1)", (2, ["z"])),
        ("(x, axis=-1, *, keep=(1, 2))", (1, ["axis", "keep"])),
    ],
)
def test_a_signature_says_how_it_is_called(signature, form):
    """Required arguments go by position, the others by keyword."""
    ast.parse(f"def f{signature}: pass")
    assert call_form(signature) == form


def test_texts_of_a_submission_are_cleaned():
    """Escapes, bidirectional controls and line breaks do not reach a terminal; long texts are cut."""
    assert clean("a\x1b[31mb\u202ec\r\nd\0e") == "a [31mb c d e"
    assert len(clean("x" * 10_000)) <= 300
