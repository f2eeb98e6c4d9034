"""Hidden tests of softmax: values first, then its vector-Jacobian product.

Scores for the backward tests stay within a few units, so that no output is so near 1 that its gradient
is nothing but rounding, where honest formulas differ. The reference counts axes from the back: it is `batched`.
"""

import numpy as np
import pytest
from grader.checkers import assert_close, assert_gradients, assert_unchanged
from grader.draw import layouts

DTYPES = [np.float32, np.float64]
SHAPES = [(1,), (7,), (5, 1), (1, 6), (3, 11), (2, 3, 5), (3, 3, 3), (2, 1, 3, 4), (2, 3, 1, 2, 3)]


def quarters(rng, shape, dtype):
    """Draw multiples of 1/4 from -5 to 5: exact in float32, also after adding a large power of two."""
    return (rng.integers(-20, 21, size=shape) / 4).astype(dtype)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0])
def test_matches_the_definition(submission, reference, rng, spread, dtype):
    """Agrees with the definition along the last axis, in shape, dtype and accuracy."""
    for rank in (1, 2, 3):
        shape = rng.integers(2, 9, size=rank)
        x = (spread * rng.normal(size=shape)).astype(dtype)
        assert_close(submission.softmax(x), reference.softmax(x))


@pytest.mark.points(2)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_axis(submission, reference, rng, shape):
    """Works along every axis of arrays of rank 1 to 5, counted from the front and from the back."""
    for axis in range(len(shape)):
        x = 2 * rng.normal(size=shape)
        want = reference.softmax(x, axis=axis - len(shape))
        assert_close(submission.softmax(x, axis=axis), want)
        assert_close(submission.softmax(x, axis=axis - len(shape)), want)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", [1e3, 1e4, 1e30])
def test_large_scores(submission, reference, rng, magnitude, dtype):
    """Gives finite and right probabilities for scores of any magnitude, of either sign and of both."""
    sizes = magnitude * rng.uniform(1, 2, size=(7, 9))
    signs = np.array([[1], [1], [-1], [-1], [0], [0], [0]])
    x = np.where(signs == 0, magnitude * rng.uniform(-1, 1, size=sizes.shape), signs * sizes).astype(dtype)
    assert_close(submission.softmax(x), reference.softmax(x))
    assert_close(submission.softmax(x.T, axis=0), reference.softmax(x.T, axis=-2))


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shift_of_each_slice(submission, reference, rng, dtype):
    """A constant added to a slice changes nothing and costs no accuracy, each slice with a constant of its own."""
    x = quarters(rng, (8, 5), dtype)
    shift = np.array([[0], [2**5], [-(2**7)], [2**11], [-(2**13)], [2**15], [2**20], [-(2**20)]], dtype)
    want = reference.softmax(x)
    assert_close(submission.softmax(x + shift), want)
    across = reference.softmax(x.T, axis=-2)
    assert_close(submission.softmax((x + shift).T, axis=0), across)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 1e30, -1e30, -1e4, 100.0])
def test_equal_scores(submission, reference, rng, value, dtype):
    """Equal scores get equal probabilities that sum to one, however large the scores are."""
    shape = (3, rng.integers(2, 100))
    want = reference.softmax(np.zeros(shape, dtype))
    assert_close(submission.softmax(np.full(shape, value, dtype)), want)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, -1e4, 1e4, -1e30])
def test_minus_infinity(submission, reference, rng, offset, dtype):
    """An entry of -inf gets probability 0, wherever it stands and whatever the other entries are."""
    x = quarters(rng, (7, 6), dtype)
    hidden = rng.random(size=x.shape) < 0.3
    hidden[0] = [True, False, False, False, False, False]
    hidden[1] = [False, False, False, False, False, True]
    hidden[2] = [True, True, False, False, True, False]
    hidden[3] = True
    hidden[:, 3] = False
    if abs(offset) > 1e6:
        x[:] = 0
    want = reference.softmax(np.where(hidden, dtype(-np.inf), x))
    moved = np.where(hidden, dtype(-np.inf), x + dtype(offset))
    assert_close(submission.softmax(moved), want)
    along_0 = reference.softmax(np.where(hidden, dtype(-np.inf), x).T, axis=-2)
    assert_close(submission.softmax(moved.T, axis=0), along_0)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_inputs(submission, reference, rng, dtype):
    """Reads transposed, reversed and sliced views like any other array, forward and backward."""
    x = rng.normal(size=(4, 3, 5)).astype(dtype)
    g = rng.normal(size=(4, 3, 5)).astype(dtype)
    y = reference.softmax(x, axis=-2)
    grad = reference.softmax_backward(g, y, axis=-2)
    for view in layouts(x):
        assert_close(submission.softmax(view, axis=1), y)
    for one, other in zip(layouts(g), reversed(layouts(y.native)), strict=True):
        assert_close(submission.softmax_backward(one, other, axis=1), grad)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_stay_as_they_are(submission, reference, rng, dtype):
    """Changes none of its arguments, forward or backward."""
    for shape, axis in (((6,), -1), ((3, 4), -2), ((2, 3, 4), -2)):
        x = rng.normal(size=shape).astype(dtype)
        g = rng.normal(size=shape).astype(dtype)
        y = reference.softmax(x, axis=axis)
        assert_close(submission.softmax(x, axis=axis), y)
        assert_close(submission.softmax_backward(g, y, axis=axis), reference.softmax_backward(g, y, axis=axis))
        assert_unchanged(submission)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2,), (7,), (3, 5), (4, 4), (2, 3, 5)])
def test_backward_matches_the_gradient(submission, reference, rng, shape, dtype):
    """The backward function gives the gradient of the softmax, checked also by finite differences."""
    x = rng.normal(size=shape).astype(dtype)
    g = rng.normal(size=shape).astype(dtype)
    y = reference.softmax(x)
    got, want = submission.softmax_backward(g, y), reference.softmax_backward(g, y)
    assert_close(got, want)
    if dtype is np.float64:  # a float32 output is rounded, so it is no longer exactly that of x
        assert_gradients(got, want, forward=reference.exact.softmax, at=(x,), cotangent=g, rng=rng)


@pytest.mark.points(2)
@pytest.mark.parametrize("shape", SHAPES)
def test_backward_along_every_axis(submission, reference, rng, shape):
    """The backward function works along every axis of arrays of rank 1 to 5, from the front and from the back."""
    for axis in range(len(shape)):
        back = axis - len(shape)
        y = reference.softmax(rng.normal(size=shape), axis=back)
        g = rng.normal(size=shape)
        want = reference.softmax_backward(g, y, axis=back)
        assert_close(submission.softmax_backward(g, y, axis=axis), want)
        assert_close(submission.softmax_backward(g, y, axis=back), want)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_with_zero_probabilities(submission, reference, rng, dtype):
    """The backward function gives gradient 0 where the probability is 0, and finite ones elsewhere."""
    x = rng.normal(size=(6, 8)).astype(dtype)
    x[rng.random(size=x.shape) < 0.4] = -np.inf
    x[:, 2:4] = rng.normal(size=(6, 2))
    y = reference.softmax(x)
    g = rng.normal(size=x.shape).astype(dtype)
    assert_close(submission.softmax_backward(g, y), reference.softmax_backward(g, y))


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_uses_the_output_it_is_given(submission, reference, rng, dtype):
    """The backward function depends on its arguments alone, not on the latest call of softmax."""
    first, second = rng.normal(size=(2, 4, 5)).astype(dtype)
    assert_close(submission.softmax(first), reference.softmax(first))
    assert_close(submission.softmax(second), reference.softmax(second))
    for scale in (1e-3, 1e3):
        g = (scale * rng.normal(size=(4, 5))).astype(dtype)
        y = reference.softmax(first)
        assert_close(submission.softmax_backward(g, y), reference.softmax_backward(g, y))


@pytest.mark.points(1)
@pytest.mark.parametrize("axis", [0, 1])
def test_larger_arrays(submission, reference, rng, axis):
    """Stays accurate, and answers in time, for an array of ten thousand entries."""
    x = 3 * rng.normal(size=(131, 77))
    g = rng.normal(size=x.shape)
    back = axis - 2
    assert_close(submission.softmax(x, axis=axis), reference.softmax(x, axis=back))
    y = reference.softmax(x / 3, axis=back)
    assert_close(submission.softmax_backward(g, y, axis=axis), reference.softmax_backward(g, y, axis=back))


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Keeps within a multiple of the reference's time and memory on large arrays, forward and backward."""

    def draw(n):
        scores, gradients = 3 * rng.normal(size=(n, n)), rng.normal(size=(8 * n, 10))
        return scores, gradients, rng.dirichlet(np.ones(10), size=8 * n)

    def both(module, scores, gradients, outputs):
        return module.softmax(scores), module.softmax_backward(gradients, outputs)

    speed("softmax", draw, call=both, sizes=(128, 256, 512), ratio=24, growth=2.7, memory=8)
