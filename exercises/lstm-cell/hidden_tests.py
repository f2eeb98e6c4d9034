"""What decides the exercise lstm-cell. A case gives N, D and H."""

import numpy as np
import pytest
from grader.checkers import assert_close, assert_gradients, assert_unchanged
from grader.draw import layouts

STATES = ("h_next", "c_next")
NAMES = ("grad_x", "grad_h", "grad_c", "grad_weight_ih", "grad_weight_hh", "grad_bias_ih", "grad_bias_hh")
DTYPES = [np.float32, np.float64]
SIZES = [(5, 3, 4), (5, 4, 7), (7, 3, 3)]
SMALLEST = [(1, 1, 1), (1, 5, 3), (5, 1, 3), (6, 4, 1)]
GATES = ["input gate", "forget gate", "cell candidate", "output gate"]


def draw(rng, n, d, h, dtype=np.float64):
    """Draw x, h, c, weight_ih, weight_hh, bias_ih and bias_hh, of such sizes that no gate saturates.

    Where s or tanh comes near 1, the slopes s (1 - s) and 1 - tanh^2 lose digits in every honest way of writing them,
    some more than others. With moderate gates, and five samples or more to a sum, that stays far below the tolerance.
    """
    shapes = [(n, d), (n, h), (n, h), (4 * h, d), (4 * h, h), (4 * h,), (4 * h,)]
    scales = [1, 1, 1, 0.5 / np.sqrt(d), 0.5 / np.sqrt(h), 0.5, 0.5]
    drawn = [scale * rng.normal(size=shape) for scale, shape in zip(scales, shapes, strict=True)]
    return [array.astype(dtype) for array in drawn]


def draw_saturated(rng, dtype):
    """Draw arguments with pre-activations up to +-1800, past where exp overflows in float64.

    The last column of weight_ih (samples 5 to 7) or of weight_hh (samples 8 and 9) drives about two thirds of the gates
    far to either side. Samples 0 to 4 and hidden unit 0 stay moderate, so every row of every answer has an entry
    of ordinary size, against which 1e-90 and 0 are the same.
    """
    n, d, h = 10, 4, 5
    arguments = draw(rng, n, d, h)
    x, hidden, c, weight_ih, weight_hh, _, _ = arguments
    for weight in (weight_ih, weight_hh):
        weight[:, -1] = rng.choice([-1.0, 0.0, 1.0], size=4 * h) * rng.uniform(8, 20, size=4 * h)
        weight[::h, -1] = 0
    x[:, -1] = [0, 0, 0, 0, 0, 50.0, -70.0, 90.0, 0, 0]
    hidden[:, -1] = [0, 0, 0, 0, 0, 0, 0, 0, 90.0, -50.0]
    c[5:, 1::2] *= 3
    return [array.astype(dtype) for array in arguments]


def draw_gradients(rng, n, h, dtype=np.float64):
    """Draw grad_h_next and grad_c_next."""
    return rng.normal(size=(n, h)).astype(dtype), rng.normal(size=(n, h)).astype(dtype)


def check_backward(submission, reference, rng, gradients, arguments):
    """Compare the seven gradients with the reference and with finite differences."""

    def forward(*at):
        return np.stack(reference.exact.lstm_cell(*at), axis=-3)

    got = submission.lstm_cell_backward(*gradients, *arguments)
    want = reference.lstm_cell_backward(*gradients, *arguments)
    cotangent = np.stack(gradients)
    at = tuple(arguments)
    assert_gradients(got, want, forward=forward, at=at, cotangent=cotangent, rng=rng, names=NAMES, batched=True)


@pytest.mark.points(2)
@pytest.mark.parametrize(("n", "d", "h"), SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_step(submission, reference, rng, n, d, h, dtype):
    """One step agrees with the definition."""
    arguments = draw(rng, n, d, h, dtype)
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)


@pytest.mark.points(1)
@pytest.mark.parametrize(("n", "d", "h"), SMALLEST)
def test_smallest_sizes(submission, reference, rng, n, d, h):
    """One sample, one input, one hidden unit."""
    arguments = draw(rng, n, d, h)
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)


@pytest.mark.points(2)
@pytest.mark.parametrize("gate", range(4), ids=GATES)
def test_order_of_the_gates(submission, reference, rng, gate):
    """The four blocks are input gate, forget gate, cell candidate and output gate, in this order."""
    n, d, h = 4, 5, 3
    arguments = draw(rng, n, d, h)
    others = np.arange(4 * h) // h != gate
    for parameter in arguments[3:]:
        parameter[others] = 0
    arguments[5][2 * h : 3 * h] += 1  # without a candidate the input gate could not be seen
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)


@pytest.mark.points(1)
@pytest.mark.parametrize("silent", [(5,), (6,), (5, 6), ()], ids=["only bias_hh", "only bias_ih", "neither", "both"])
def test_two_biases(submission, reference, rng, silent):
    """Both biases are added, each on its own and together."""
    arguments = draw(rng, 3, 2, 4)
    for index in silent:
        arguments[index] = np.zeros_like(arguments[index])
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_saturated_gates(submission, reference, rng, dtype):
    """Pre-activations in the hundreds and thousands, of either sign, give the limits and no NaN."""
    arguments = draw_saturated(rng, dtype)
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_states(submission, reference, rng, dtype):
    """Cell states in the thousands pass through the forget gate, and tanh of them is 1 or -1 with slope 0."""
    arguments, gradients = draw(rng, 6, 3, 5, dtype), draw_gradients(rng, 6, 5, dtype)
    arguments[2][:, 1::2] *= 3000
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)
    want = reference.lstm_cell_backward(*gradients, *arguments)
    assert_close(submission.lstm_cell_backward(*gradients, *arguments), want, names=NAMES)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nearly_closed_gates(submission, reference, rng, dtype):
    """Gates that are nearly closed or nearly open have the values of the definition: nothing is cut off early."""
    n, d, h = 4, 3, 6
    arguments = draw(rng, n, d, h, dtype)
    far = rng.choice([-1.0, 1.0], size=4 * h) * rng.uniform(12, 30, size=4 * h)
    far[::3] = 0  # in every block some units stay moderate
    arguments[5] += far.astype(dtype)
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)


@pytest.mark.points(3)
@pytest.mark.parametrize(("n", "d", "h"), SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients(submission, reference, rng, n, d, h, dtype):
    """All seven gradients, when both h_next and c_next receive one."""
    check_backward(submission, reference, rng, draw_gradients(rng, n, h, dtype), draw(rng, n, d, h, dtype))


@pytest.mark.points(1)
@pytest.mark.parametrize(("n", "d", "h"), SMALLEST)
def test_gradients_smallest_sizes(submission, reference, rng, n, d, h):
    """All seven gradients for one sample, one input, one hidden unit."""
    check_backward(submission, reference, rng, draw_gradients(rng, n, h), draw(rng, n, d, h))


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_from_h_next(submission, reference, rng, dtype):
    """All seven gradients, when only h_next receives one."""
    grad_h_next, grad_c_next = draw_gradients(rng, 5, 4, dtype)
    check_backward(submission, reference, rng, (grad_h_next, 0 * grad_c_next), draw(rng, 5, 3, 4, dtype))


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_from_c_next(submission, reference, rng, dtype):
    """All seven gradients, when only c_next receives one."""
    grad_h_next, grad_c_next = draw_gradients(rng, 5, 4, dtype)
    check_backward(submission, reference, rng, (0 * grad_h_next, grad_c_next), draw(rng, 5, 3, 4, dtype))


@pytest.mark.points(1)
@pytest.mark.parametrize("draw_number", range(3))
def test_drawn_sizes(submission, reference, rng, draw_number):
    """States and gradients for sizes drawn anew at each judging."""
    n, d, h = int(rng.integers(5, 10)), *rng.integers(1, 9, 2).tolist()
    arguments = draw(rng, n, d, h)
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)
    check_backward(submission, reference, rng, draw_gradients(rng, n, h), arguments)


@pytest.mark.points(2)
@pytest.mark.parametrize("gate", range(4), ids=GATES)
def test_gradients_through_one_gate(submission, reference, rng, gate):
    """The gradients of x and h when the weights reach only one of the four gates."""
    n, d, h = 5, 4, 3
    arguments = draw(rng, n, d, h)
    _, _, _, weight_ih, weight_hh, bias_ih, bias_hh = arguments
    others = np.arange(4 * h) // h != gate
    weight_ih[others] = 0
    weight_hh[others] = 0
    signs = rng.choice([-1.0, 1.0], size=bias_ih.shape)
    bias_ih[:] = signs * rng.uniform(0.4, 1.2, size=bias_ih.shape)  # alone, it decides what the others are
    bias_hh[:] = 0
    check_backward(submission, reference, rng, draw_gradients(rng, n, h), arguments)


@pytest.mark.points(2)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_saturated_gates(submission, reference, rng, dtype):
    """The gradients are finite and right where gates are saturated on either side."""
    arguments = draw_saturated(rng, dtype)
    gradients = draw_gradients(rng, 10, 5, dtype)
    want = reference.lstm_cell_backward(*gradients, *arguments)
    assert_close(submission.lstm_cell_backward(*gradients, *arguments), want, names=NAMES)


@pytest.mark.points(2)
@pytest.mark.parametrize(("n", "d", "h", "steps"), [(5, 3, 4, 4), (6, 4, 2, 7)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sequence(submission, reference, rng, n, d, h, steps, dtype):
    """A whole sequence, step by step from zero states, and backwards through time."""
    _, hidden, c, *parameters = draw(rng, n, d, h, dtype)
    hidden, c = np.zeros_like(hidden), np.zeros_like(c)
    inputs = rng.normal(size=(steps, n, d)).astype(dtype)
    before = []
    for x in inputs:
        before.append((x, hidden, c))
        states = submission.lstm_cell(x, hidden, c, *parameters)
        assert_close(states, reference.lstm_cell(x, hidden, c, *parameters), names=STATES)
        hidden, c = states

    grad_h, grad_c = np.zeros_like(hidden), np.zeros_like(c)
    for step in reversed(before):
        from_loss, _ = draw_gradients(rng, n, h, dtype)
        arguments = (grad_h + from_loss, grad_c, *step, *parameters)
        got = submission.lstm_cell_backward(*arguments)
        assert_close(got, reference.lstm_cell_backward(*arguments), names=NAMES)
        _, grad_h, grad_c, *_ = got


@pytest.mark.points(1)
@pytest.mark.parametrize("which", range(5))
def test_memory_layouts(submission, reference, rng, which):
    """The memory layout of the arguments (transposed, sliced, reversed) makes no difference."""
    arguments, gradients = draw(rng, 6, 3, 5), draw_gradients(rng, 6, 5)
    states = reference.lstm_cell(*arguments)
    want = reference.lstm_cell_backward(*gradients, *arguments)
    laid = [layouts(array)[which] for array in arguments]
    laid_gradients = [layouts(array)[which] for array in gradients]
    assert_close(submission.lstm_cell(*laid), states, names=STATES)
    assert_close(submission.lstm_cell_backward(*laid_gradients, *laid), want, names=NAMES)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arguments_unchanged(submission, rng, dtype):
    """No argument of either function is changed, neither states nor incoming gradients."""
    arguments = draw(rng, 3, 4, 5, dtype)
    submission.lstm_cell(*arguments)
    submission.lstm_cell_backward(*draw_gradients(rng, 3, 5, dtype), *arguments)
    assert_unchanged(submission)


@pytest.mark.points(1)
def test_calls_are_independent(submission, reference, rng):
    """The gradients belong to the arguments of that call, whatever was computed before."""
    first, second = draw(rng, 5, 2, 4), draw(rng, 5, 2, 4)
    gradients = draw_gradients(rng, 5, 4)
    assert_close(submission.lstm_cell(*first), reference.lstm_cell(*first), names=STATES)
    for arguments in (second, [second[0], *first[1:]]):
        want = reference.lstm_cell_backward(*gradients, *arguments)
        assert_close(submission.lstm_cell_backward(*gradients, *arguments), want, names=NAMES)
    assert_close(submission.lstm_cell(*first), reference.lstm_cell(*first), names=STATES)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_larger_sizes(submission, reference, rng, dtype):
    """Larger batches and states: right, accurate, and in time."""
    n, d, h = 61, 53, 47
    arguments, gradients = draw(rng, n, d, h, dtype), draw_gradients(rng, n, h, dtype)
    assert_close(submission.lstm_cell(*arguments), reference.lstm_cell(*arguments), names=STATES)
    want = reference.lstm_cell_backward(*gradients, *arguments)
    assert_close(submission.lstm_cell_backward(*gradients, *arguments), want, names=NAMES)


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Keeps within a multiple of the reference's time and memory on a large batch, forward and backward."""

    def both(module, gradients, arguments):
        return module.lstm_cell(*arguments), module.lstm_cell_backward(*gradients, *arguments)

    def arrays(n):
        return draw_gradients(rng, n, 96), draw(rng, n, 64, 96)

    speed("lstm_cell", arrays, call=both, sizes=(32, 64, 128), ratio=30, growth=1.8, memory=8)
