"""The softmax reference against PyTorch and against finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.softmax import softmax, softmax_backward

torch = pytest.importorskip("torch")


@st.composite
def cases(draw):
    """Draw scores of rank 1 to 4, one of their axes, and a gradient of the same shape and dtype."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    scale = draw(st.sampled_from([1e-3, 1.0, 10.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, g = (rng.normal(size=shape) for _ in range(2))
    return (scale * x).astype(dtype), g.astype(dtype), axis


def close(got, want):
    """Compare shape, dtype and values to a few units in the last place of values up to 1."""
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=0, atol=40 * float(np.finfo(want.dtype).eps))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(cases())
def test_value_and_gradient_agree_with_pytorch(case):
    """Both functions give what torch.softmax and its autograd give, along any axis and in both float widths."""
    x, g, axis = case
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    output = torch.softmax(leaf, axis)
    output.backward(torch.from_numpy(g.copy()))
    close(softmax(x, axis), output.detach().numpy())
    close(softmax_backward(g, softmax(x, axis), axis), leaf.grad.numpy())


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gradient_agrees_with_finite_differences(axis):
    """The vector-Jacobian product is the derivative of the sum of grad_output times output, entry by entry."""
    rng = np.random.default_rng(1)
    x, g = rng.normal(size=(2, 3, 4, 5))[:, 0]
    want = np.empty_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-5
        want[index] = np.sum(g * (softmax(x + step, axis) - softmax(x - step, axis))) / 2e-5
    np.testing.assert_allclose(softmax_backward(g, softmax(x, axis), axis), want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [1e4, -1e4, 1e30, -1e30])
def test_equal_scores_of_any_size_share_equally(value, dtype):
    """Equal scores get 1/n each, however large they are."""
    close(softmax(np.full((2, 7), value, dtype)), np.full((2, 7), 1 / 7, dtype))


def test_minus_infinity_gets_nothing():
    """Entries of -inf get probability 0 and gradient 0; the others share as if it were not there."""
    x = np.array([[-np.inf, 0.5, -1.0], [2.0, -np.inf, -np.inf]])
    y = softmax(x)
    np.testing.assert_array_equal(y == 0, np.isneginf(x))
    close(y[0, 1:], softmax(x[0, 1:]))
    assert y[1, 0] == 1
    gradient = softmax_backward(np.ones((2, 3)), y)
    np.testing.assert_array_equal(gradient[np.isneginf(x)], 0)


def test_arguments_stay_as_they_are():
    """Neither function writes to its arguments."""
    x, g = np.random.default_rng(2).normal(size=(2, 3, 4))
    for array in (x, g):
        array.flags.writeable = False
    y = softmax(x, 0)
    y.flags.writeable = False
    assert softmax_backward(g, y, 0).shape == (3, 4)
