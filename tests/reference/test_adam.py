"""The Adam reference against torch.optim.Adam and torch.optim.AdamW, and against scalars in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.adam import Adam

torch = pytest.importorskip("torch")

SHAPES = [(), (1,), (5,), (5,), (3, 4), (2, 1, 3)]


def away_from_zero(rng, shape, dtype):
    """Draw numbers of size 0.3 to 2 of either sign: the first step takes the sign, which rounding must not decide."""
    return np.asarray(rng.uniform(0.3, 2, size=shape) * rng.choice([-1, 1], size=shape), dtype)


@st.composite
def runs(draw):
    """Draw every setting, the float width, the number of steps and a seed."""
    chosen = {
        "lr": draw(st.sampled_from([1e-3, 0.02, 0.3])),
        "betas": draw(st.sampled_from([(0.9, 0.999), (0.0, 0.999), (0.9, 0.0), (0.5, 0.7)])),
        "eps": draw(st.sampled_from([1e-8, 1e-3, 0.5])),
        "weight_decay": draw(st.sampled_from([0.0, 0.01, 0.1])),
    }
    decoupled = draw(st.booleans())
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return chosen, decoupled, dtype, draw(st.integers(1, 12)), draw(st.integers(0, 2**32))


def side_by_side(chosen, decoupled, dtype, history, params):
    """Run the reference on `params` in place and return what PyTorch makes of a copy of them."""
    leaves = [torch.from_numpy(p.copy()).requires_grad_() for p in params]
    theirs = (torch.optim.AdamW if decoupled else torch.optim.Adam)(leaves, **chosen)
    ours = Adam(params, **chosen, decoupled=decoupled)
    for grads in history:
        ours.step(grads)
        for leaf, g in zip(leaves, grads, strict=True):
            leaf.grad = torch.from_numpy(g.copy())
        theirs.step()
    return [leaf.detach().numpy() for leaf in leaves]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(runs())
def test_agrees_with_pytorch_under_any_settings(run):
    """Adam and AdamW with any settings end where PyTorch's do, arrays of every shape, gradients with zeros."""
    chosen, decoupled, dtype, steps, seed = run
    rng = np.random.default_rng(seed)
    params = [away_from_zero(rng, shape, dtype) for shape in SHAPES]
    history = [[away_from_zero(rng, shape, dtype) for shape in SHAPES] for _ in range(steps)]
    for grads in history[1:]:
        grads[rng.integers(len(grads))][...] = 0
    for got, want in zip(params, side_by_side(chosen, decoupled, dtype, history, params), strict=True):
        assert got.dtype == dtype
        largest = max(1, np.max(np.abs(want)))
        np.testing.assert_allclose(got / largest, want / largest, rtol=0, atol=300 * float(np.finfo(dtype).eps))


def test_agrees_with_pytorch_over_hundreds_of_steps():
    """After 400 steps with gradients that grow and shrink, float64 still agrees to twelve digits."""
    rng = np.random.default_rng(3)
    params = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    history = [[np.exp(3 * np.sin(t / 20)) * rng.normal(size=p.shape) for p in params] for t in range(400)]
    chosen = {"lr": 0.02}
    for got, want in zip(params, side_by_side(chosen, False, np.float64, history, params), strict=True):  # noqa: FBT003
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_two_steps_in_fractions():
    """The statement's example holds exactly: -3/4, then -137/84."""
    p = np.array([0.0])
    optimiser = Adam([p], lr=1.0, betas=(0.5, 0.75), eps=1.0)
    for g, want in ((3.0, Fraction(-3, 4)), (17.0, Fraction(-137, 84))):
        optimiser.step([np.array([g])])
        np.testing.assert_allclose(p, float(want), rtol=1e-15)


@pytest.mark.parametrize("decoupled", [False, True])
def test_updates_the_given_arrays_and_leaves_gradients_alone(decoupled):
    """The arrays given are changed in place, views included; gradients are not written to at any step."""
    rng = np.random.default_rng(4)
    whole = rng.normal(size=(4, 6))
    params = [whole[::2, ::-1].T, np.array(0.5)]
    before = [p.copy() for p in params]
    optimiser = Adam(params, lr=0.1, weight_decay=0.1, decoupled=decoupled)
    for _ in range(3):
        grads = [np.asarray(rng.normal(size=p.shape)) for p in params]
        for g in grads:
            g.flags.writeable = False
        optimiser.step(grads)
    for held, given_array, old in zip(optimiser.params, params, before, strict=True):
        assert held is given_array
        assert np.all(held != old)


def test_an_element_that_never_has_a_gradient_stays():
    """Zero gradients move only what has moved before."""
    p = np.array([1.0, 1.0])
    optimiser = Adam([p], lr=0.1)
    optimiser.step([np.array([1.0, 0.0])])
    after_one = p[0]
    optimiser.step([np.zeros(2)])
    assert p[0] < after_one
    assert p[1] == 1
