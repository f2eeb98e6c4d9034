"""Hidden tests of Adam.

Gradients are drawn away from 0 (or are exactly 0): the first step takes their sign, and rounding must not decide it.
1 - beta2**t is rounded differently by honest programs (powers, running products), by some 1e-13 of itself while
beta2**t is near 1: so parameters have size 1 where there are several steps, or beta2 is 0.99.
"""

import numpy as np
import pytest
from grader.checkers import assert_close, assert_unchanged
from grader.draw import layouts

DTYPES = [np.float32, np.float64]


def draw(rng, shape, dtype=np.float64, scale=1.0):
    """Draw numbers of either sign and of size 0.3 to 2 times `scale`."""
    size = rng.uniform(0.3, 2, size=shape) * rng.choice([-1.0, 1.0], size=shape)
    return np.asarray(scale * size, dtype)


def names(params):
    """Name the parameters as a student does."""
    return tuple(f"params[{i}]" for i in range(len(params)))


def compare(submission, reference, params, history, *, at=None, **settings):
    """Run both over the gradients of `history` and compare after the steps `at` (by default the first and the last)."""
    got = submission.Adam(params, **settings)
    want = reference.Adam(params, **settings)
    for t, grads in enumerate(history, 1):
        got.step(grads)
        want.step(grads)
        if t in (at or (1, len(history))):
            assert_close(got.params, want.params, names(params))


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_first_step(submission, reference, rng, scale, dtype):
    """The first step has the size of lr, whatever the size of the gradient: both moments are corrected."""
    params = [np.zeros(5, dtype), np.zeros((2, 3), dtype)]
    grads = [draw(rng, p.shape, dtype, scale) for p in params]
    compare(submission, reference, params, [grads], lr=0.25)


@pytest.mark.points(3)
@pytest.mark.parametrize(("dtype", "steps"), [(np.float32, 50), (np.float64, 210)])
def test_hundreds_of_steps(submission, reference, rng, dtype, steps):
    """Follows the formulas over hundreds of steps, with gradients that grow and shrink on the way."""
    params = [draw(rng, 3, dtype), draw(rng, (2, 2), dtype)]
    scales = ([1.0] * 30 + [30.0] * 10 + [0.05] * 170)[:steps]
    history = [[draw(rng, p.shape, dtype, scale) for p in params] for scale in scales]
    compare(submission, reference, params, history, at=(1, 2, 10, 50, 100, 210), lr=0.01)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_of_every_shape(submission, reference, rng, dtype):
    """Keeps the moments of each array apart: different shapes, equal shapes and 0-d arrays."""
    shapes = [(), (4, 1), (1, 4), (7,), (7,), (), (1,), (2, 3, 2), (4, 4)]
    params = [draw(rng, shape, dtype) for shape in shapes]
    history = [[draw(rng, shape, dtype, 1 + i) for i, shape in enumerate(shapes)] for _ in range(5)]
    compare(submission, reference, params, history, lr=0.05)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_gradients(submission, reference, rng, dtype):
    """Zeros in the gradient let the moments fade: the element may still move, one never touched does not."""
    params = [draw(rng, (3, 7), dtype), draw(rng, 5, dtype)]
    history = []
    for t in range(10):
        grads = [np.where(rng.random(p.shape) < 0.3, draw(rng, p.shape, dtype), dtype(0)) for p in params]
        grads[0][:, 2] = 0
        grads[1][0] = 1 if t == 0 else 0
        history.append(grads)
    for t in (4, 5, 7):
        history[t] = [np.zeros_like(p) for p in params]
    history[5][1] = draw(rng, 5, dtype)
    compare(submission, reference, params, history, lr=0.05)


@pytest.mark.points(2)
@pytest.mark.parametrize(("scale", "eps"), [(1e-8, 1e-8), (1e-10, 1e-8), (1e-4, 1e-3), (1.0, 0.1), (1e-3, 1.0)])
def test_place_of_eps(submission, reference, rng, scale, eps):
    """Adds eps, as it is given, outside the root and after the bias correction, also where it outweighs the root."""
    params = [np.zeros(6), np.zeros((2, 2))]
    history = [[draw(rng, p.shape, scale=scale) for p in params] for _ in range(4)]
    compare(submission, reference, params, history, lr=0.1, betas=(0.9, 0.99), eps=eps)


@pytest.mark.points(1)
@pytest.mark.parametrize("betas", [(0.0, 0.999), (0.9, 0.0), (0.0, 0.0), (0.5, 0.8), (0.99, 0.9), (0.8, 0.995)])
def test_other_betas(submission, reference, rng, betas):
    """Uses each of the two betas where it belongs, 0 included."""
    params = [draw(rng, 5), draw(rng, ())]
    history = [[draw(rng, p.shape) for p in params] for _ in range(4)]
    compare(submission, reference, params, history, lr=0.02, betas=betas)


@pytest.mark.points(1)
@pytest.mark.parametrize("lr", [None, 0.0, 1e-5])
def test_learning_rate(submission, reference, rng, lr):
    """Uses the learning rate it is given, and 0.001 when it is given none."""
    params = [draw(rng, 5), draw(rng, (3, 2))]
    history = [[draw(rng, p.shape) for p in params] for _ in range(3)]
    settings = {} if lr is None else {"lr": lr}
    compare(submission, reference, params, history, **settings)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight_decay", [0.02, 0.1])
def test_weight_decay(submission, reference, rng, weight_decay, dtype):
    """Without decoupled, weight_decay times the parameter joins the gradient, and so both moments."""
    params = [draw(rng, 5, dtype), draw(rng, (3, 2), dtype)]
    history = [[draw(rng, p.shape, dtype) for p in params] for _ in range(5)]
    history[2][0] = np.zeros_like(params[0])
    compare(submission, reference, params, history, lr=0.05, weight_decay=weight_decay)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.02, 0.8])
def test_decoupled_weight_decay(submission, reference, rng, weight_decay, dtype):
    """With decoupled, the parameter shrinks by lr times weight_decay before the update; the moments see no decay."""
    params = [draw(rng, 5, dtype), draw(rng, (3, 2), dtype)]
    history = [[draw(rng, p.shape, dtype) for p in params] for _ in range(5)]
    history[2][0] = np.zeros_like(params[0])
    compare(submission, reference, params, history, lr=0.05, weight_decay=weight_decay, decoupled=True)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("decoupled", [False, True])
def test_updates_in_place(submission, reference, rng, decoupled, dtype):
    """Changes the arrays that were given, the same objects, whatever their strides."""
    x = draw(rng, (3, 4), dtype)
    arrays = [*layouts(x), draw(rng, (), dtype), draw(rng, 5, dtype)[::-1]]
    held = [submission.hold(array) for array in arrays]
    got = submission.Adam(held, lr=0.05, weight_decay=0.1, decoupled=decoupled)
    want = reference.Adam(arrays, lr=0.05, weight_decay=0.1, decoupled=decoupled)
    for _ in range(2):
        grads = [draw(rng, array.shape, dtype) for array in arrays]
        got.step(grads)
        want.step(grads)
        assert_close(tuple(array.fetch() for array in held), want.params, names(arrays))
        assert_close(got.params, want.params, names(arrays))


@pytest.mark.points(1)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}])
def test_gradients_stay_as_they_are(submission, reference, rng, settings):
    """Changes neither the lists nor the gradients it is given, at once or at a later step."""
    arrays = [draw(rng, (2, 3)), draw(rng, ()), draw(rng, 4)]
    got = submission.Adam([submission.hold(array) for array in arrays], lr=0.05, **settings)
    want = reference.Adam(arrays, lr=0.05, **settings)
    for _ in range(3):
        grads = [draw(rng, array.shape) for array in arrays]
        got.step(grads)
        want.step(grads)
    assert_unchanged(submission)
    assert_close(got.params, want.params, names(arrays))


@pytest.mark.points(2)
@pytest.mark.parametrize("shared", [False, True])
def test_two_optimisers(submission, reference, rng, shared):
    """Two optimisers keep moments, step counts and settings apart, also over the same arrays."""
    shapes = [(3,), (2, 2)]
    arrays = [draw(rng, shape) for shape in shapes]
    others = arrays if shared else [draw(rng, shape) for shape in shapes]

    def both(module):
        held = [module.hold(array) for array in arrays]
        held_too = held if shared else [module.hold(array) for array in others]
        return module.Adam(held, lr=0.05), module.Adam(held_too, lr=0.02, betas=(0.7, 0.9), weight_decay=0.1)

    got, want = both(submission), both(reference)
    for which in (0, 0, 1, 0, 1, 1, 0):
        grads = [draw(rng, shape) for shape in shapes]
        got[which].step(grads)
        want[which].step(grads)
        for one, other in zip(got, want, strict=True):
            assert_close(one.params, other.params, names(shapes))


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_larger_arrays(submission, reference, rng, dtype):
    """Answers in time for arrays of some ten thousand elements."""
    params = [draw(rng, (151, 101), dtype), draw(rng, 503, dtype)]
    history = [[draw(rng, p.shape, dtype) for p in params] for _ in range(3)]
    compare(submission, reference, params, history, at=(3,), lr=0.01)


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Keeps within a multiple of the reference's time and memory on large arrays."""

    def arrays(n):
        return [draw(rng, (n, 100)), draw(rng, n)], [[draw(rng, (n, 100)), draw(rng, n)] for _ in range(2)]

    def step(adam, _, history):
        for grads in history:
            adam.step(grads)
        return adam.params

    speed(
        "Adam.step",
        arrays,
        make=lambda module, params, _: module.Adam(params, weight_decay=0.1),
        call=step,
        sizes=(100, 400, 1600),
        ratio=12,
        growth=1.8,
        memory=8,
    )
