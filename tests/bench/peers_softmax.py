"""The hidden tests of softmax as a course without a sandbox would write them, for the peers of `peers.py`.

One function for each test of exercises/softmax that times nothing, under the same name, with the same inputs drawn.
They run in the process of the submission; oracles are the formulas in long double and central differences, tolerances
numbers that somebody liked.
"""

from typing import Any

import numpy as np

RNG = np.random.default_rng()
DTYPES: list[Any] = [np.float32, np.float64]
SHAPES = [(1,), (7,), (5, 1), (1, 6), (3, 11), (2, 3, 5), (3, 3, 3), (2, 1, 3, 4), (2, 3, 1, 2, 3)]
STEP = 1e-6


def want(x, axis=-1):
    """Return the softmax, in long double."""
    x = x.astype(np.longdouble)
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def want_backward(g, y, axis=-1):
    """Return the gradient of its input, in long double."""
    g, y = g.astype(np.longdouble), y.astype(np.longdouble)
    return y * (g - (g * y).sum(axis=axis, keepdims=True))


def close(got, wanted, dtype):
    """Assert shape, dtype and values."""
    assert got.shape == wanted.shape
    assert got.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * max(1.0, float(abs(wanted).max())))


def quarters(shape, dtype):
    """Draw multiples of 1/4 from -5 to 5."""
    return (RNG.integers(-20, 21, size=shape) / 4).astype(dtype)


def test_matches_the_definition(softmax):
    """Agrees with the definition along the last axis."""
    for dtype in DTYPES:
        for spread in (0.1, 1.0, 8.0):
            for rank in (1, 2, 3):
                x = (spread * RNG.normal(size=RNG.integers(2, 9, size=rank))).astype(dtype)
                close(softmax(x), want(x), dtype)


def test_every_axis(softmax):
    """Works along every axis."""
    for shape in SHAPES:
        for axis in range(-len(shape), len(shape)):
            x = 2 * RNG.normal(size=shape)
            close(softmax(x, axis=axis), want(x, axis), np.float64)


def test_large_scores(softmax):
    """Gives finite and right probabilities for scores of any magnitude."""
    for dtype in DTYPES:
        for magnitude in (1e3, 1e4, 1e30):
            sizes = magnitude * RNG.uniform(1, 2, size=(7, 9))
            signs = np.array([[1], [1], [-1], [-1], [0], [0], [0]])
            x = np.where(signs == 0, magnitude * RNG.uniform(-1, 1, size=sizes.shape), signs * sizes).astype(dtype)
            close(softmax(x), want(x), dtype)
            close(softmax(x.T, axis=0), want(x.T, 0), dtype)


def test_shift_of_each_slice(softmax):
    """Does not change when a constant is added to a slice."""
    for dtype in DTYPES:
        x = quarters((8, 5), dtype)
        shift = np.array([[0], [2**5], [-(2**7)], [2**11], [-(2**13)], [2**15], [2**20], [-(2**20)]], dtype)
        close(softmax(x + shift), want(x), dtype)
        close(softmax((x + shift).T, axis=0), want(x.T, 0), dtype)


def test_equal_scores(softmax):
    """Gives equal scores equal probabilities."""
    for dtype in DTYPES:
        for value in (0.0, 1e30, -1e30, -1e4, 100.0):
            shape = (3, RNG.integers(2, 100))
            close(softmax(np.full(shape, value, dtype)), np.full(shape, 1 / np.longdouble(shape[1])), dtype)


def test_minus_infinity(softmax):
    """Gives -inf probability 0."""
    for dtype in DTYPES:
        for offset in (0.0, -1e4, 1e4, -1e30):
            x = quarters((7, 6), dtype)
            hidden = RNG.random(size=x.shape) < 0.3
            hidden[0] = [True, False, False, False, False, False]
            hidden[1] = [False, False, False, False, False, True]
            hidden[2] = [True, True, False, False, True, False]
            hidden[3] = True
            hidden[:, 3] = False
            if abs(offset) > 1e6:
                x[:] = 0
            moved = np.where(hidden, dtype(-np.inf), x + dtype(offset))
            close(softmax(moved), want(np.where(hidden, -np.inf, x)), dtype)
            close(softmax(moved.T, axis=0), want(np.where(hidden, -np.inf, x).T, 0), dtype)


def layouts(array):
    """Return equal arrays in other layouts."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return [np.asfortranarray(array), array[::-1].copy()[::-1], wide[..., ::2]]


def test_strided_inputs(softmax, softmax_backward):
    """Reads views like any other array."""
    for dtype in DTYPES:
        x, g = RNG.normal(size=(2, 4, 3, 5)).astype(dtype)
        y = want(x, 1).astype(dtype)
        for view in layouts(x):
            close(softmax(view, axis=1), want(x, 1), dtype)
        for one, other in zip(layouts(g), reversed(layouts(y)), strict=True):
            close(softmax_backward(one, other, axis=1), want_backward(g, y, 1), dtype)


def test_inputs_stay_as_they_are(softmax, softmax_backward):
    """Changes no argument."""
    for dtype in DTYPES:
        for shape, axis in (((6,), -1), ((3, 4), 0), ((2, 3, 4), 1)):
            x, g = RNG.normal(size=(2, *shape)).astype(dtype)
            y = want(x, axis).astype(dtype)
            kept = x.copy(), g.copy(), y.copy()
            close(softmax(x, axis=axis), want(x, axis), dtype)
            close(softmax_backward(g, y, axis=axis), want_backward(g, y, axis), dtype)
            assert all(np.array_equal(now, then) for now, then in zip((x, g, y), kept, strict=True))


def test_backward_matches_the_gradient(softmax_backward):
    """Gives the gradient, checked by central differences too."""
    for dtype in DTYPES:
        for shape in ((2,), (7,), (3, 5), (4, 4), (2, 3, 5)):
            x, g = RNG.normal(size=(2, *shape)).astype(dtype)
            y = want(x).astype(dtype)
            got = softmax_backward(g, y)
            close(got, want_backward(g, y), dtype)
            if dtype is np.float64:
                for _ in range(8):
                    along = RNG.normal(size=shape)
                    difference = (g * (want(x + STEP * along) - want(x - STEP * along))).sum() / (2 * STEP)
                    np.testing.assert_allclose((got * along).sum(), float(difference), rtol=1e-6, atol=1e-8)


def test_backward_along_every_axis(softmax_backward):
    """Gives it along every axis."""
    for shape in SHAPES:
        for axis in range(-len(shape), len(shape)):
            y, g = want(RNG.normal(size=shape), axis).astype(np.float64), RNG.normal(size=shape)
            close(softmax_backward(g, y, axis=axis), want_backward(g, y, axis), np.float64)


def test_backward_with_zero_probabilities(softmax_backward):
    """Gives gradient 0 where the probability is 0."""
    for dtype in DTYPES:
        x, g = RNG.normal(size=(2, 6, 8)).astype(dtype)
        x[RNG.random(size=x.shape) < 0.4] = -np.inf
        x[:, 2:4] = RNG.normal(size=(6, 2))
        y = want(x).astype(dtype)
        close(softmax_backward(g, y), want_backward(g, y), dtype)


def test_backward_uses_the_output_it_is_given(softmax, softmax_backward):
    """Depends on its arguments alone."""
    for dtype in DTYPES:
        first, second = RNG.normal(size=(2, 4, 5)).astype(dtype)
        close(softmax(first), want(first), dtype)
        close(softmax(second), want(second), dtype)
        for scale in (1e-3, 1e3):
            g = (scale * RNG.normal(size=(4, 5))).astype(dtype)
            y = want(first).astype(dtype)
            close(softmax_backward(g, y), want_backward(g, y), dtype)


def test_larger_arrays(softmax, softmax_backward):
    """Stays accurate for ten thousand entries."""
    for axis in (0, 1):
        x, g = 3 * RNG.normal(size=(2, 131, 77))
        close(softmax(x, axis=axis), want(x, axis), np.float64)
        y = want(x / 3, axis).astype(np.float64)
        close(softmax_backward(g, y, axis=axis), want_backward(g, y, axis), np.float64)
