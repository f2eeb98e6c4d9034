"""The oracle: the right answer in float64, the loss in the submission's dtype, the response to half-ulp changes."""

from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
import torch

from grader import exercise as exercises
from grader.oracle import UNIT_ROUNDOFF, Oracle, OracleError, cast, enter, expect, floats, working_dtype, worlds
from grader.returns import parse_returns
from grader.wire import Callback


def oracle(returns="array", classes=(), kind="numpy", *, batched=False, **named):
    """Make a real Oracle whose reference module has these functions and classes."""
    functions = [
        {"name": name, "signature": "(x)", "returns": returns}
        for name in named
        if name not in {c["name"] for c in classes}
    ]
    text = {"title": "-", "track": "-", "difficulty": 1, "kind": kind, "versions": {"1": "-"}, "functions": functions}
    text["batched"] = batched
    made_up = exercises.Exercise(
        "made-up", Path(), Path(), msgspec.convert({**text, "classes": classes}, exercises._Toml), ()
    )
    module = ModuleType("made_up")
    module.__dict__.update(named)
    return Oracle(made_up, module, np.random.default_rng(0))


def rounding(dtype):
    """Return what adding up loses in `dtype`, measured by the oracle: relative loss and response."""
    x = np.random.default_rng(1).uniform(1, 2, size=(40, 200)).astype(dtype)
    want = oracle(f=lambda x: np.cumsum(x, -1)[:, -1]).f(x)
    return np.sqrt(np.mean((want.loss / want.want) ** 2)), np.sqrt(np.mean((want.response / want.want) ** 2))


def test_the_want_is_float64_and_the_native_answer_has_the_inputs_dtype():
    """float32 inputs: the want is what float64 makes of them, the native answer float32, the loss their difference."""
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    want = oracle(f=np.exp).f(x)
    np.testing.assert_array_equal(want.want, np.exp(x.astype(np.float64)))
    np.testing.assert_array_equal(want.native, np.exp(x))
    np.testing.assert_array_equal(want.loss, np.abs(np.exp(x) - np.exp(x.astype(np.float64))))
    assert want.native.dtype == np.float32
    assert (want.dtype, want.name) == ("float32", "The answer of f")


def test_the_loss_of_float64_is_estimated_from_float32():
    """Relative to the unit roundoff, the losses of the same sum in both widths agree within a factor of 2."""
    narrow = rounding("float32")[0] / UNIT_ROUNDOFF["float32"]
    wide = rounding("float64")[0] / UNIT_ROUNDOFF["float64"]
    assert 0.5 < narrow / wide < 2
    x = np.random.default_rng(2).uniform(1, 2, size=(40, 200))
    want = oracle(f=lambda x: np.cumsum(x, -1)[:, -1]).f(x)
    true = np.sqrt(np.mean((np.cumsum(x, -1)[:, -1] - np.sum(x.astype(np.longdouble), -1)).astype(float) ** 2))
    assert 0.3 < np.sqrt(np.mean(want.loss**2)) / true < 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_response_is_the_condition_times_half_an_ulp(dtype):
    """X -> x**9 responds to a change of the input with 9 times its relative size."""
    x = np.random.default_rng(3).uniform(1, 2, size=2000).astype(dtype)
    want = oracle(f=lambda x: x**9).f(x)
    relative = np.sqrt(np.mean((want.response / want.want) ** 2)) / UNIT_ROUNDOFF[dtype]
    assert 9 / np.sqrt(3) / 1.5 < relative < 9 / np.sqrt(3) * 2


def test_float64_inputs_are_shifted_both_ways():
    """Rounding to float64 leaves ups and downs in balance, zeros stay, and what is not finite never becomes so."""
    rng = np.random.default_rng(4)
    start = rng.uniform(1, 2, size=20_000)
    moved = dict(enter(start, "float64", rng))["near0"]
    ups, downs = np.mean(moved > start), np.mean(moved < start)
    assert abs(ups - downs) < 0.02
    assert ups + downs > 0.2
    assert np.max(np.abs(moved - start) / start) < 4 * UNIT_ROUNDOFF["float64"]
    special = np.array([0.0, np.inf, -np.inf])
    with np.errstate(invalid="ignore"):
        seen = enter(special, "float64", rng)
    for _, moved in seen:
        assert moved[0] == 0
        assert not np.isfinite(moved[1:]).any()


def test_no_float64_input_responds_by_luck_alone():
    """Just above a power of two a float64 number moved by half an ulp rounds back: it has a response all the same."""
    x = 1.0 + np.arange(1, 200) * 2.0**-50
    want = oracle(f=lambda x: np.exp(-100 * x)).f(x)
    relative = want.response / want.want / UNIT_ROUNDOFF["float64"]
    assert np.min(relative) > 5
    assert np.max(relative) < 300


@pytest.mark.parametrize("scale", [1e-300, 1e-250, 1e-30, 1e30, 1e250, 1e300])
def test_responses_do_not_overflow_or_underflow(scale):
    """Far from 1 the response is as large, relative to the answer, as it is near 1."""
    x = np.random.default_rng(5).uniform(1, 2, size=500)
    near, far = (oracle(f=lambda x: x * 1).f(x * factor) for factor in (1.0, scale))
    ratio = np.mean(far.response / far.want) / np.mean(near.response / near.want)
    assert 0.5 < ratio < 2


def test_losses_outside_the_range_of_float32_are_left_out():
    """Where float32 underflows the scaled loss would be 2**-29 of the answer: none is claimed instead."""
    x = np.random.default_rng(6).uniform(1, 2, size=(3, 5)) * np.array([[1.0], [1e-30], [1e30]])
    want = oracle(f=lambda x: x * x).f(x)
    assert np.max(want.loss / want.want) < 2 * UNIT_ROUNDOFF["float64"]


def test_the_reference_never_changes_a_tests_arrays():
    """Inputs, held arrays and objects' parameters are copies, one in each world."""

    def spoil(x):
        x[...] = 0
        return x

    x = np.ones(3)
    oracle(f=spoil).f(x)
    np.testing.assert_array_equal(x, 1)
    held = oracle().hold(x)
    oracle(f=spoil).f(held)
    np.testing.assert_array_equal(x, 1)
    np.testing.assert_array_equal(held.fetch().want, 0)
    assert held.fetch().name == "The array"


class Counter:
    """A class as a reference has it."""

    def __init__(self, params, lr=0.5):
        """Keep the arrays themselves."""
        self.params, self.lr = params, lr

    def step(self, grads):
        """Change them in place."""
        for param, grad in zip(self.params, grads, strict=True):
            np.subtract(param, self.lr * grad, out=param)


COUNTER = {
    "name": "Counter",
    "signature": "(params, lr=0.5)",
    "methods": [{"name": "step", "signature": "(grads)", "returns": "none"}],
    "attributes": {"params": "[array]"},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_objects_keep_a_state_in_every_world(dtype):
    """Steps accumulate: the state in float64 is the want, the native state lost what its dtype loses."""
    start, grad = np.full(3, 0.1, dtype), np.full(3, 0.3, dtype)
    made = oracle(classes=[COUNTER], Counter=Counter).Counter([start], lr=0.1)
    for _ in range(10):
        assert made.step([grad]) is None
    (params,) = made.params
    np.testing.assert_allclose(params.want, start.astype(float) - 10 * 0.1 * grad.astype(float), rtol=1e-14)
    assert 0 < np.max(params.loss) < 50 * UNIT_ROUNDOFF[dtype]
    assert params.native.dtype == dtype
    with pytest.raises(AttributeError, match="declares no"):
        made.momentum  # noqa: B018 - reading it is the test


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_recordings_give_gradients_with_their_losses(dtype):
    """Autograd runs in every world; leaves that play no part get zeros."""
    x, unused = torch.linspace(0.5, 2, 6).to(dtype), torch.ones(2, dtype=dtype)
    recorded = oracle("tensor", kind="torch", f=lambda x, _unused: x.exp() + 0 * x).f.record(x, unused)
    gradient, nothing = recorded.backward(torch.ones(6, dtype=dtype))
    np.testing.assert_allclose(gradient.want, np.exp(x.double().numpy()), rtol=1e-15)
    np.testing.assert_array_equal(nothing.want, 0)
    assert (gradient.native.dtype, gradient.name) == (dtype, "The gradient of f")
    np.testing.assert_allclose(recorded.forward(x.double().numpy(), np.ones(2)), np.exp(x.double().numpy()), rtol=1e-15)


def test_exact_runs_in_float64_alone():
    """`reference.exact` answers with plain float64 arrays, whatever the dtype that comes in."""
    value = oracle(f=lambda x: x / 3).exact.f(np.array([1.0, 2.0], np.float32))
    assert value.dtype == np.float64
    np.testing.assert_array_equal(value, np.array([1.0, 2.0]) / 3)
    with pytest.raises(AttributeError, match="declares no function g"):
        oracle(f=abs).exact.g(1)


def test_structures_of_every_kind_come_back():
    """Tuples, lists, dicts, None, text, integers and scalars keep their form; integers lose nothing."""
    answers = {"exact": (1.5, [2.5, 3.5], {"a": np.arange(3)}, None, "x")}
    answers |= {world.name: answers["exact"] for world in worlds("float64")}
    one, many, named, nothing, text = expect(
        answers, parse_returns("(scalar, [scalar], {array}, none, str)"), "float64"
    )
    assert one.scalar
    assert [part.want for part in many] == [2.5, 3.5]
    assert named["a"].want.dtype.kind == "i"
    assert not np.any(named["a"].loss)
    assert (nothing, text) == (None, "x")


def test_tests_that_mix_dtypes_are_told():
    """One call has one floating dtype; integers, and no floats at all, are fine."""
    assert working_dtype([np.ones(2, np.float32), np.arange(2)]) == "float32"
    assert working_dtype([1, "x", {"a": np.arange(2)}]) == "float64"
    with pytest.raises(TypeError, match="mixes floating dtypes"):
        working_dtype([np.ones(2, np.float32), {"a": np.ones(2)}])


def test_expected_values_and_callbacks_may_be_arguments():
    """An Expected crosses as its native value, a Callback as its function."""
    reference = oracle(f=lambda x: x * 2, g=lambda function: function(np.array([3.0])))
    twice = reference.f(reference.f(np.array([1.0], np.float32)))
    assert twice.native == 4
    assert twice.dtype == "float32"
    assert reference.g(Callback(lambda x: x + 1)).want == 4


def test_casting_reaches_every_float_and_nothing_else():
    """Floats change dtype and are copied; integers, generators and other values stay what they are."""
    rng = np.random.default_rng(7)
    given = [np.ones(2), {"a": (np.arange(2), torch.ones(1, dtype=torch.float64))}, "x", None, 3, rng]
    out = cast(given, "float32")
    assert [array.dtype for array in floats(out)] == [np.float32, torch.float32]
    assert out[1]["a"][0].dtype == np.int64
    assert out[2:5] == ["x", None, 3]
    assert out[5] is not rng
    assert out[5].random() == rng.random()


def same(one, other):
    """Compare two Expected, bit by bit."""
    for name in ("want", "loss", "response", "native"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.dtype, np.shape(one.want), one.name) == (other.dtype, np.shape(other.want), other.name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_worlds_computed_at_once_are_those_computed_one_by_one(dtype):
    """Elementwise functions, last axes and objects: every bit of want, loss, response and native answer is the same."""
    rng = np.random.default_rng(7)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in ((3, 5), (), (4, 1), (7,))]
    arrays.append(np.asfortranarray(arrays[0]))

    def total(x):
        return np.exp(x - np.max(x, axis=-1, keepdims=True)).sum(axis=-1)

    for function in (np.exp, lambda x: x * x - x, total):
        for x in arrays[:1] if function is total else arrays:
            one, other = (oracle(f=function, batched=batched).f(x) for batched in (False, True))
            same(one, other)
    found = []
    for batched in (False, True):
        reference = oracle(classes=[COUNTER], Counter=Counter, batched=batched)
        counter = reference.Counter([reference.hold(x) for x in arrays], lr=0.25)
        counter.step(arrays)
        counter.step([2 * x for x in arrays])
        found.append(counter.params)
    for one, other in zip(*found, strict=True):
        same(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_computed_at_once_are_those_computed_one_by_one(dtype):
    """Recorded calls and their gradients: the same to the last bits, which products of matrices round otherwise."""

    def attend(q, k):
        return torch.softmax(q @ k.mT, -1) @ k

    rng = np.random.default_rng(8)
    q, k, cotangent = (torch.from_numpy(rng.normal(size=s)).to(dtype) for s in ((2, 3, 4), (2, 5, 4), (2, 3, 4)))
    found = []
    for batched in (False, True):
        call = oracle(returns="tensor", kind="torch", batched=batched, attend=attend).attend.record(q, k)
        found.append((call.output, *call.backward(cotangent)))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype == str(dtype).removeprefix("torch.")
        assert one.native.shape == other.native.shape
        assert one.native.dtype == other.native.dtype == dtype
        np.testing.assert_allclose(one.want, other.want, rtol=1e-13, atol=1e-14)
        for name in ("loss", "response"):
            mine, theirs = getattr(one, name), getattr(other, name)
            np.testing.assert_allclose(np.max(mine), np.max(theirs), rtol=0.2)


@pytest.mark.parametrize("function", [lambda x: x.sum(axis=0), lambda x: np.argmax(x, axis=-1), lambda x: x[0]])
def test_a_reference_that_takes_no_batch_is_found(function):
    """An exercise that says `batched` of such a one is at fault, and hears so at the first call."""
    with pytest.raises(OracleError, match="batched"):
        oracle(f=function, batched=True).f(np.ones((3, 5)))
