"""The checkers: right programs of every style pass, wrong ones do not, and no message gives a value away."""

# ruff: noqa: ARG005, D103, PLW0108 - the programs compared here are a line or two, and named for what they do

import math
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grader import exercise as exercises
from grader.checkers import (
    Margins,
    OracleError,
    assert_autograd,
    assert_close,
    assert_gradients,
    assert_unchanged,
    tolerance,
)
from grader.oracle import Expected, Oracle
from grader.proxy import RemoteFunction, Submission
from grader.verdict import Rejected, Verdict

NARROWER = {"float32": "float16", "float64": "float32"}


def oracle(seed=0, returns="array", kind="numpy", **functions):
    """Make a real Oracle whose reference module has these functions."""
    declared = [{"name": name, "signature": "(x)", "returns": returns} for name in functions]
    text = {"title": "-", "track": "-", "difficulty": 1, "kind": kind, "versions": {"1": "-"}, "functions": declared}
    made_up = exercises.Exercise("made-up", Path(), Path(), msgspec.convert(text, exercises._Toml), ())
    module = ModuleType("made_up")
    module.__dict__.update(functions)
    return Oracle(made_up, module, np.random.default_rng(seed))


def expected(function, *args, seed=0):
    """Return what the reference `function` wants for `args`."""
    return oracle(seed, f=function).f(*args)


def message(got, want, names=None):
    """Return the message with which an answer is rejected."""
    with pytest.raises(Rejected) as rejected:
        assert_close(got, want, names)
    assert rejected.value.verdict is Verdict.WRONG_ANSWER
    return rejected.value.message


# --- right programs in many styles


def total(x):
    return np.sum(x, axis=-1)


def matmul(a, b):
    return a @ b


def softmax(x):
    weights = np.exp(x - np.max(x, -1, keepdims=True))
    return weights / np.sum(weights, -1, keepdims=True)


def variance(x):
    return np.mean((x - np.mean(x, -1, keepdims=True)) ** 2, -1)


def sigmoid(x):
    with np.errstate(over="ignore"):  # infinite is right: 1 / inf = 0
        return 1 / (1 + np.exp(-x))


def logsumexp(x):
    top = np.max(x, -1, keepdims=True)
    return (top + np.log(np.sum(np.exp(x - top), -1, keepdims=True)))[..., 0]


def layer_norm(x):
    centred = x - np.mean(x, -1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, -1, keepdims=True))


def loop(x):
    out = x[..., 0] * 1
    for k in range(1, x.shape[-1]):
        out = out + x[..., k]
    return out


def backwards(x):
    return loop(x[..., ::-1])


def pairwise(x):
    while x.shape[-1] > 1:
        if x.shape[-1] % 2:
            x = np.concatenate([x, np.zeros_like(x[..., :1])], -1)
        x = x[..., ::2] + x[..., 1::2]
    return x[..., 0]


def kahan(x):
    out = x[..., 0] * 0
    lost = out
    for k in range(x.shape[-1]):
        part = x[..., k] - lost
        longer = out + part
        lost = (longer - out) - part
        out = longer
    return out


def fsum(x):
    return np.apply_along_axis(math.fsum, -1, x.astype(np.float64)).astype(x.dtype)


def einsum(x):
    return np.einsum("...i->...", x)


def float64_inside(function):
    return lambda *args: function(*(arg.astype(np.float64) for arg in args)).astype(args[0].dtype)


def matmul_by(add):
    return lambda a, b: add(a[:, None, :] * b.T[None])


def softmax_by(add):
    def function(x):
        weights = np.exp(x - x.max(-1, keepdims=True))
        return weights / add(weights)[..., None]

    return function


def softmax_in_one_pass(x):
    top, norm = np.full_like(x[..., 0], -np.inf), np.zeros_like(x[..., 0])
    for k in range(x.shape[-1]):
        higher = np.maximum(top, x[..., k])
        norm = norm * np.exp(top - higher) + np.exp(x[..., k] - higher)
        top = higher
    return np.exp(x - top[..., None]) / norm[..., None]


def welford(x):
    mean, out = x[..., 0] * 0, x[..., 0] * 0
    for k in range(x.shape[-1]):
        gap = x[..., k] - mean
        mean = mean + gap / x.dtype.type(k + 1)
        out = out + gap * (x[..., k] - mean)
    return out / x.dtype.type(x.shape[-1])


def variance_in_two_loops(x):
    count = x.dtype.type(x.shape[-1])
    mean = loop(x) / count
    return loop((x - mean[..., None]) ** 2) / count


def variance_of_pairs(x):
    gaps = x[..., :, None] - x[..., None, :]
    return np.sum(gaps * gaps, (-1, -2)) / x.dtype.type(2 * x.shape[-1] ** 2)


def sigmoid_in_branches(x):
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def layer_norm_by_loops(x):
    count = x.dtype.type(x.shape[-1])
    centred = x - (loop(x) / count)[..., None]
    return centred / np.sqrt(loop(centred * centred) / count)[..., None]


SUMS = [loop, backwards, pairwise, kahan, fsum, einsum]
STYLES = {
    total: SUMS,
    matmul: [*map(matmul_by, SUMS), lambda a, b: np.einsum("ik,kj->ij", a, b)],
    softmax: [
        *map(softmax_by, SUMS),
        softmax_in_one_pass,
        lambda x: np.exp(x - logsumexp(x)[..., None]),
        lambda x: np.exp(x) / loop(np.exp(x))[..., None],
        lambda x: 1 / loop(np.exp(x[..., None, :] - x[..., :, None])),
        lambda x: (
            np.exp(x - x.max(-1, keepdims=True)) * (1 / backwards(np.exp(x - x.max(-1, keepdims=True))))[..., None]
        ),
    ],
    variance: [welford, variance_in_two_loops, variance_of_pairs],
    sigmoid: [sigmoid_in_branches, lambda x: (1 + np.tanh(x / 2)) / 2, lambda x: np.exp(-np.logaddexp(x * 0, -x))],
    logsumexp: [
        lambda x: np.logaddexp.reduce(x, axis=-1),
        lambda x: np.log(backwards(np.exp(x))),
        lambda x: x.max(-1) + np.log(loop(np.exp(x - x.max(-1, keepdims=True)))),
    ],
    layer_norm: [
        layer_norm_by_loops,
        lambda x: (x - x.mean(-1, keepdims=True)) * (1 / np.sqrt(welford(x)))[..., None],
    ],
}


def draw(rng, function, dtype):
    """Draw up to 13 rows of up to 256 terms, of size 0.1 to 3."""
    terms, rows = int(rng.choice([2, 3, 7, 31, 64, 129, 256])), int(rng.choice([1, 2, 5, 13]))
    x = (rng.choice([0.1, 1.0, 3.0]) * rng.normal(size=(rows, terms))).astype(dtype)
    return (x, rng.normal(size=(terms, int(rng.choice([1, 3, 8])))).astype(dtype)) if function is matmul else (x,)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", STYLES, ids=lambda function: function.__name__)
def test_right_programs_of_every_style_stay_far_inside_the_tolerance(function, dtype):
    """No style of a right program uses more than a third of the tolerance."""
    Margins.largest_passed = 0.0
    for seed in range(60):
        args = draw(np.random.default_rng([seed, 1]), function, dtype)
        want = expected(function, *args, seed=seed)
        for style in [*STYLES[function], float64_inside(function)]:
            assert_close(style(*args), want)
    assert 0 < Margins.largest_passed < 1 / 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", STYLES, ids=lambda function: function.__name__)
def test_a_narrower_type_inside_is_rejected(function, dtype):
    """Half precision inside float32 exceeds the tolerance by 4 in every draw, float32 inside float64 by 500.

    Together with the test above: HONEST and ULPS stand a factor of 3 from right programs and 4 from wrong ones.
    """
    ratios = []
    for seed in range(120):
        rng = np.random.default_rng([seed, 2])
        args = draw(rng, function, dtype)
        want = expected(function, *args, seed=seed)
        with np.errstate(invalid="ignore"):
            got = function(*(arg.astype(NARROWER[dtype]) for arg in args)).astype(dtype)
        if got.size >= 3 and args[0].shape[-1] > 3:
            ratios.append(float(np.max(np.abs(got - want.want) / tolerance(want))))
    assert len(ratios) > 20
    assert min(ratios) > (4 if dtype == "float32" else 500)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", STYLES, ids=lambda function: function.__name__)
def test_wrong_constants_are_rejected(function, dtype):
    """A factor of 1.001 is rejected in both widths, and 1e-8 added in float64, in every draw."""
    for seed in range(30):
        args = draw(np.random.default_rng([seed, 3]), function, dtype)
        want = expected(function, *args, seed=seed)
        right = function(*args)
        message(right * np.dtype(dtype).type(1.001), want)
        if dtype == "float64":
            message(right + 1e-8, want)


def attention_weights(q, k):
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)


def weights_upcast(q, k):
    return attention_weights(q.float(), k.float()).to(q.dtype)


def weights_by_einsum(q, k):
    scores = torch.einsum("ie,je->ij", q * q.shape[-1] ** -0.5, k)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)


def weights_by_loops(q, k):
    scores = q[:, None, 0] * k[None, :, 0]
    for e in range(1, q.shape[-1]):
        scores = scores + q[:, None, e] * k[None, :, e]
    return torch.softmax((scores / q.shape[-1] ** 0.5).float(), -1).to(q.dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_sixteen_bits_pass_with_and_without_upcasting(dtype):
    """In 16-bit dtypes right programs pass whether or not their intermediates are wider, and wrong ones do not."""
    Margins.largest_passed = 0.0
    for seed in range(60):
        rng = np.random.default_rng([seed, 4])
        width = int(rng.choice([1, 4, 16, 33]))
        q, k = (torch.from_numpy(rng.normal(size=(rows, width))).to(dtype) for rows in (5, 7))
        want = oracle(seed, "tensor", "torch", f=attention_weights).f(q, k)
        for style in (attention_weights, weights_upcast, weights_by_einsum, weights_by_loops):
            assert_close(style(q, k), want)
        if width > 1:
            message(torch.softmax(q @ k.mT, -1), want)
        message(attention_weights(q, k) * 1.5, want)
        message(torch.full_like(attention_weights(q, k), 1 / 7), want)
    assert Margins.largest_passed < 0.75


# --- one wrong thing


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.5, 1e300])
def test_one_bad_element_among_twenty_thousand_is_rejected(value):
    """No average hides a single bad value."""
    x = np.random.default_rng(5).normal(size=(200, 100))
    got = softmax(x)
    got[137, 41] = value
    assert "1 of 20000 elements (under 1 %), at index [137, 41]" in message(got, expected(softmax, x))


def test_a_small_row_next_to_huge_ones_is_held_to_its_own_size():
    """An error that is small for the array and large for its row is rejected."""
    x = np.random.default_rng(6).normal(size=(6, 5)) * np.array([[1e12], [1e-9], [1], [1e12], [1e12], [1e12]])
    want = expected(lambda x: 2 * x, x)
    got = 2 * x
    assert_close(got, want)
    got[1, 2] *= 1.001
    assert "[1, 2]" in message(got, want)


def test_the_sign_of_zero_does_not_matter():
    """-0.0 and 0.0 are the same number."""
    x = np.array([[1.0, 0.0, -2.0]])
    assert_close(np.array([[1.0, -0.0, 0.0]]), expected(lambda x: np.maximum(x, 0), x))


@pytest.mark.parametrize(
    "bad", [[-np.inf, 1, 2], [np.nan, 1, 2], [1e308, 1, 2], [np.inf, np.inf, 2], [np.inf, 1, 2.001]]
)
def test_infinities_must_be_where_and_what_they_should(bad):
    """An infinite value wants the same infinity, a finite neighbour is held to the finite part of its row."""
    x = np.array([np.inf, 1.0, 2.0])
    want = expected(lambda x: x * 1, x)
    assert_close(np.array([np.inf, 1, 2]), want)
    message(np.array(bad, dtype=float), want)


@pytest.mark.parametrize("scale", [1e-290, 1e-200, 1e-30, 1e30, 1e200, 1e290])
@pytest.mark.parametrize("function", [total, lambda x: 3 * x, layer_norm], ids=["total", "triple", "layer_norm"])
def test_sizes_beyond_float32_change_nothing(function, scale):
    """float64 inputs far outside float32's range: right programs pass, float32-like errors and others do not."""
    if function is layer_norm and not 1e-100 < scale < 1e100:
        scale = scale**0.3
    x = np.random.default_rng(7).normal(size=(5, 30)) * scale
    want = expected(function, x)
    style = backwards if function is total else layer_norm_by_loops if function is layer_norm else lambda x: x + x + x
    assert_close(style(x), want)
    message(function(x) * (1 + 1e-8), want)
    assert np.max(tolerance(want)) < 1e-11 * np.max(np.abs(want.want))


def test_squares_that_underflow_in_float32_are_still_held_to_float64():
    """Where float32 can say nothing of the loss, the response alone decides."""
    x = np.random.default_rng(8).normal(size=(3, 7)) * 1e-30
    want = expected(lambda x: x * x, x)
    message(x * x * (1 + 1e-9), want)


def test_rows_that_underflow_do_not_excuse_the_others():
    """Most rows lose all of themselves in float32; the row of size 1 is held to its rounding all the same."""
    x = np.array([[-1.0, -2.0], [-200.0, -300.0], [-300.0, -250.0], [-200.0, -400.0]], np.float32)
    want = expected(np.exp, x)
    assert_close(np.exp(x), want)
    message(np.exp(x) * np.float32(1.001), want)
    assert np.max(tolerance(want)) < 1e-4


def test_a_tolerance_that_proves_nothing_is_our_fault():
    """At a kink, and where rounding decides the answer, the comparison raises OracleError instead of passing all."""
    with pytest.raises(OracleError, match="prove nothing"):
        assert_close(np.zeros(3), expected(lambda x: np.where(x > 0.1, 2.0, 1.0), np.array([0.1, 0.1, 0.1])))
    x = np.array([[1e16, 1.0, -1e16], [1e16, 3.0, -1e16]])
    with pytest.raises(OracleError, match="prove nothing"):
        assert_close(np.zeros(2), expected(total, x + 0.5))


# --- shape, dtype, structure


def test_messages_name_what_is_wrong_first():
    """Kind, shape and dtype are compared before values, and the message names the function and both sides."""
    want = expected(softmax, np.ones((2, 3), np.float32))
    assert message(np.ones((3, 2), np.float32), want) == "The answer of f has the shape (3, 2); (2, 3) is expected."
    assert (
        message(np.ones((2, 3)), want) == "The answer of f has the dtype float64; float32 is expected, as in the input."
    )
    assert "plain number" in message(1.0, want)
    assert message("text", want) == "The answer of f is not an array."
    assert message(np.full((2, 3), np.nan, np.float32), want) == (
        "The answer of f is NaN where it should be finite: in every element."
    )
    assert message(np.ones((2, 3), np.int64), want, ["probabilities"]).startswith("probabilities has the dtype int64")


def test_parts_are_counted_and_named():
    """Tuples, nested tuples and dicts are compared part by part, each under its name."""
    x = np.ones(3)
    want = (expected(softmax, x), [expected(softmax, x), expected(softmax, 2 * x)])
    right = softmax(x)
    assert_close((right, (right, right)), want, names=("loss", "grads"))
    assert message((right, (right, 2 * right)), want, names=("loss", "grads")).startswith("grads[1] is wrong")
    assert message((right, (right,)), want, names=("loss", "grads")) == "grads has 1 part; 2 are expected."
    assert message((right,), want) == "The answer has 1 part; 2 are expected."
    assert message((2 * right, (right, right)), want).startswith("Part 1 of the answer of f is wrong")
    assert message(right, want) == "The answer is a single value; 2 are expected."
    assert_close({"a": right}, {"a": expected(softmax, x)})
    assert "keys 'a'" in message({"b": right}, {"a": expected(softmax, x)})


@pytest.mark.parametrize("got", [None, "x", [], (), {}, object(), 3, True, 1j, np.array([]), np.array([None])])
def test_no_answer_makes_a_checker_fail(got):
    """Whatever comes back, the outcome is a rejection."""
    for want in (expected(softmax, np.ones((2, 3))), (expected(softmax, np.ones(3)),), np.ones((2, 3)), [1.0, 2.0]):
        message(got, want)


def test_scalars_may_be_python_numbers_or_arrays_of_no_dimension():
    """A declared scalar may come as float, NumPy scalar or 0-d array of any real width; nothing else."""
    want = oracle(0, "scalar", f=lambda x: np.mean(x)).f(np.arange(4.0))
    for got in (1.5, np.asarray(1.5), np.asarray(1.5, np.float32)):
        assert_close(got, want)
    for got in (np.array([1.5]), 1.5001, np.asarray(1.5j), float("nan"), np.asarray(1)):
        message(got, want)


def test_integers_and_booleans_compare_exactly():
    """One wrong index among a thousand is rejected, and the dtype's kind must fit."""
    x = np.random.default_rng(9).normal(size=(1000, 3))
    want = expected(lambda x: np.argmax(x, -1), x)
    got = np.argmax(x, -1)
    assert_close(got, want)
    assert_close(got.astype(np.int32), want)
    message(got.astype(float), want)
    got[7] = (got[7] + 1) % 3
    assert "1 of 1000 elements" in message(got, want)
    truth = expected(lambda x: x > 0, x)
    assert_close(x > 0, truth)
    message((x > 0).astype(int), truth)


def test_public_examples_show_the_values():
    """Where the expected value is written in the open, the message shows both sides."""
    assert message(np.array([1.0, 3.0]), [1.0, 2.0]).endswith("Expected [1., 2.], got [1., 3.].")
    assert message(np.array([1, 3]), np.array([1, 2])).endswith("Expected [1, 2], got [1, 3].")
    assert message(np.array([1.0, np.nan]), [1.0, 2.0]).endswith("Expected [1., 2.], got [ 1., nan].")
    assert_close(np.array([0.1, 0.2], np.float32), [0.1, 0.2])
    message(np.array([0.1, 0.2001], np.float32), [0.1, 0.2])
    assert_close(0.1 + 0.2, 0.3)
    message(np.array([1.0], np.float32), np.array([1.0]))


ANSWERS = [
    lambda y, rng: y * 0,
    lambda y, rng: y * 0 + 1,
    lambda y, rng: -y,
    lambda y, rng: y * 1.5,
    lambda y, rng: y + 0.25,
    lambda y, rng: y[::-1],
    lambda y, rng: rng.normal(size=y.shape),
    lambda y, rng: np.where(rng.random(size=y.shape) < 0.5, y, np.nan),
    lambda y, rng: np.where(rng.random(size=y.shape) < 0.3, y, 7e7),
    lambda y, rng: np.roll(y, 1, -1),
    lambda y, rng: y[..., :-1],
    lambda y, rng: y.astype(np.float32),
]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(ANSWERS), st.sampled_from([(3,), (2, 3), (4, 4), (2, 3, 5)]))
def test_no_message_contains_a_hidden_value(seed, change, shape):
    """No number in a message is an input or an expected value, to three digits (sizes and indices aside)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)
    y = 3.7 * x + rng.normal(size=shape)
    got = change(y, rng)
    assume(not np.array_equal(got, y))
    text = message(got, expected(lambda x: y * (1 + 0 * x), x))
    hidden = np.abs(np.concatenate([x.ravel(), y.ravel()]))
    for number in re.findall(r"\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+", text):
        value = float(number)
        if len(number.split("e")[0].replace(".", "").strip("0")) >= 3:
            assert not np.any(np.abs(hidden - value) < 5e-4 * value), text


def test_zeros_do_not_learn_the_largest_value():
    """The size of the error is told relative to what is hidden: an answer of zeros learns nothing from it."""
    x = np.array([0.1234, 5.678])
    text = message(np.zeros(2), expected(lambda x: x * 1, x))
    assert "largest error is 1 times" in text
    assert "zero everywhere" in text
    assert "5.6" not in text
    assert "5.7" not in text


# --- gradients


def backward(x, g):
    y = softmax(x)
    return y * (g - np.sum(y * g, -1, keepdims=True))


def check_softmax(seed, got=None, want=backward, scale=1.0, shift=0.0, dtype="float64", *, batched=False):
    rng = np.random.default_rng(seed)
    x = (shift + scale * rng.normal(size=(3, 5))).astype(dtype)
    g = rng.normal(size=(3, 5)).astype(dtype)
    reference = oracle(seed, softmax=softmax, backward=want)
    answer = (got or backward)(x, g)
    forward = reference.exact.softmax
    wanted = reference.backward(x, g)
    assert_gradients(answer, wanted, forward=forward, at=(x,), cotangent=g, rng=rng, batched=batched)


def test_right_gradients_pass_at_every_scale():
    """Tiny, ordinary and large scales, and a common part of a million: neither rejected nor our fault."""
    for seed in range(120):
        check_softmax(seed, dtype="float32" if seed % 2 else "float64")
        check_softmax(seed, scale=1e-8)
        check_softmax(seed, scale=3.0)
        check_softmax(seed, shift=1e6)
        check_softmax(seed, batched=True)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, g: -backward(x, g),
        lambda x, g: backward(x, g) * 1.001,
        lambda x, g: softmax(x) * g,
        lambda x, g: backward(x, g) * 0,
        lambda x, g: backward(x, g) * np.nan,
        lambda x, g: backward(x, g)[::-1],
        lambda x, g: backward(x.astype(np.float32), g.astype(np.float32)).astype(np.float64),
    ],
)
def test_wrong_gradients_are_rejected(wrong):
    """Sign, factor, a missing term, zeros, NaN, order, float32 inside."""
    for seed in range(10):
        with pytest.raises(Rejected):
            check_softmax(seed, got=wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, g: -backward(x, g),
        lambda x, g: backward(x, g) * 1.001,
        lambda x, g: softmax(x) * g,
        lambda x, g: 0 * g,
    ],
)
def test_a_reference_that_contradicts_its_own_forward_is_our_fault(wrong):
    """OracleError, for a submission that follows it and for one that does not."""
    for seed in range(10):
        for got in (wrong, backward):
            with pytest.raises(OracleError, match="finite differences"):
                check_softmax(seed, got=got, want=wrong, batched=seed % 2 == 1)


FORWARDS = {
    "log": (lambda x: np.log(np.abs(x)), lambda x, g: g / x),
    "square": (lambda x: x * x, lambda x, g: 2 * x * g),
    "linear": (lambda x: 3 * x, lambda x, g: 3 * g),
    "sine": (lambda x: np.sin(x / 7), lambda x, g: g * np.cos(x / 7) / 7),
    "variance": (lambda x: np.mean((x - x.mean()) ** 2), lambda x, g: g * 2 * (x - x.mean()) / x.size),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_finite_differences_know_how_exact_they_are(name):
    """No false alarm over ten powers of ten of scale and with cancellation; a gradient off by 1 % is still found."""
    forward, gradient = FORWARDS[name]
    found = 0
    for seed in range(150):
        rng = np.random.default_rng([seed, 10])
        scale = 10.0 ** rng.integers(-6, 4)
        x = scale * (rng.uniform(0.5, 2, size=6) + (100 if name == "variance" and seed % 2 else 0))
        g = np.asarray(rng.normal()) if name == "variance" else rng.normal(size=6)
        for factor in (1.0, 1.01):
            reference = oracle(seed, f=forward, df=lambda x, g, factor=factor: factor * gradient(x, g))
            want = reference.df(x, g)
            try:
                assert_gradients(want.native, want, forward=reference.exact.f, at=(x,), cotangent=g, rng=rng)
            except OracleError:
                assert factor != 1.0, (seed, scale)
                found += 1
    assert found >= 140


def test_differences_that_are_not_finite_are_our_fault():
    """A forward that is infinite at the point proves nothing, and never rejects a submission."""
    reference = oracle(f=lambda x: np.log(x), df=lambda x, g: g / x)
    x, g = np.array([0.0, 1.0]), np.ones(2)
    with pytest.raises(OracleError):
        assert_gradients(1 / (x + 1), reference.df(x + 1, g), forward=reference.exact.f, at=(x,), cotangent=g,
                         rng=np.random.default_rng(0))  # fmt: skip


# --- autograd


class Recorded(RemoteFunction):
    """A stand-in for `submission.f` that computes here, as the harness does over there."""

    def __init__(self, function, spoil=lambda gradient: gradient):
        """Compute with `function`, and do `spoil` to every gradient."""
        self.function, self.spoil = function, spoil

    def record(self, *args, **kwargs):
        """Call the function with leaves that require grad."""
        leaves = [arg.clone().requires_grad_() for arg in args]
        output = self.function(*leaves, **kwargs)

        def backward(cotangent):
            return tuple(self.spoil(part) for part in torch.autograd.grad(output, leaves, cotangent))

        return SimpleNamespace(output=output.detach(), backward=backward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_autograd_of_right_programs_passes_and_of_wrong_ones_does_not(dtype):
    """Output and gradients are compared; a wrong gradient behind a right output is rejected."""
    for seed in range(6):
        rng = np.random.default_rng([seed, 11])
        q, k = (torch.from_numpy(rng.normal(size=(rows, 4))).to(dtype) for rows in (5, 7))
        reference = oracle(seed, "tensor", "torch", f=attention_weights)
        assert_autograd(Recorded(weights_by_einsum), reference.f, q, k, rng=rng)
        for spoil in (torch.neg, torch.zeros_like, lambda part: 2 * part):
            with pytest.raises(Rejected, match="gradient of argument 1"):
                assert_autograd(Recorded(attention_weights, spoil), reference.f, q, k, rng=rng)
        with pytest.raises(Rejected, match="answer of f"):
            assert_autograd(Recorded(lambda q, k: attention_weights(2 * q, k)), reference.f, q, k, rng=rng)


# --- arguments


class Watched(Submission):
    """A stand-in for `submission`: what the harness says of the arguments."""

    def __init__(self, answer):
        """Say `answer` to every request."""
        text = {"title": "-", "track": "-", "difficulty": 1, "kind": "numpy", "versions": {"1": "-"}}
        text["functions"] = [{"name": "f", "signature": "(x, y, axis=-1)", "returns": "array"}]
        made_up = exercises.Exercise("made-up", Path(), Path(), msgspec.convert(text, exercises._Toml), ())
        self.session: Any = SimpleNamespace(exercise=made_up, ask=lambda where, header: answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[0, "f", 1]], "f changed its argument `y`."),
        ([[3, "f", "axis"]], "f changed its argument `axis`."),
        ([[0, "f", 9]], "f changed its argument by position."),
        ([[0, "ignore all rules", "secret"]], "Your file changed its argument by keyword."),
        ([["f"]], "An argument was changed."),
        ([7], "An argument was changed."),
    ],
)
def test_a_changed_argument_is_named_in_our_words(answer, said):
    """The harness's answer is checked: names that are not the exercise's are not repeated."""
    with pytest.raises(Rejected) as rejected:
        assert_unchanged(Watched(answer))
    assert rejected.value.message == said


def test_unchanged_arguments_pass_and_nonsense_is_a_violation():
    """An empty list passes; anything but a list is not an answer."""
    assert_unchanged(Watched([]))
    answers: list[object] = [None, {}, "f", 0]
    for answer in answers:
        with pytest.raises(Rejected) as rejected:
            assert_unchanged(Watched(answer))
        assert rejected.value.verdict is Verdict.PROTOCOL_VIOLATION


def test_a_test_that_compares_nothing_is_our_fault():
    """An empty array or an unknown kind of wanted value is a mistake of the test's author."""
    with pytest.raises(TypeError, match="empty"):
        assert_close(np.zeros((0, 3)), expected(lambda x: x, np.zeros((0, 3))))
    with pytest.raises(TypeError, match="cannot compare"):
        assert_close(np.zeros(3), object())
    assert isinstance(expected(lambda x: x, np.ones(2)), Expected)
