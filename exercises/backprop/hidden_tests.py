"""What a submission to `backprop` must satisfy."""

from itertools import pairwise

import numpy as np
import pytest

from grader.checkers import assert_close, assert_gradients, assert_unchanged
from grader.draw import layouts

NAMES = ("loss", "grad_weights", "grad_biases")
BOTH_WIDTHS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def thresholds(rng, z):
    """Draw one threshold a column of z (N, H), at least 1 % of the scale away from every entry.

    A pre-activation nearer to 0 may fall on either side of the ReLU's kink in honest float32 arithmetic.
    """
    scale = np.sqrt(np.mean(z**2)) + 0.1
    low, high = np.quantile(z, [0.2, 0.8], axis=0)
    low, high = low - 0.3 * scale, high + 0.3 * scale
    drawn = rng.uniform(low, high)
    while (near := np.abs(z - drawn).min(axis=0) < 0.01 * scale).any():
        drawn = np.where(near, rng.uniform(low, high), drawn)
    return drawn


def draw(rng, samples, sizes, dtype, gain=1.0):
    """Draw (x, y, weights, biases) with hidden units that are on for some samples and off for others.

    The loss and gradient of a confidently right sample are little but rounding, and honest answers differ there:
    the logits are of order one, however large a gain makes the inputs and hidden layers, and labels with a
    probability over 0.7 are drawn anew as the least likely class.
    """
    x = (gain * rng.normal(size=(samples, sizes[0]))).astype(dtype)
    y = rng.integers(sizes[-1], size=samples)
    weights, biases = [], []
    h = x.astype(np.float64)
    layers = len(sizes) - 1
    for k, (fan_in, fan_out) in enumerate(pairwise(sizes), 1):
        width = gain * np.sqrt(2.0 / fan_in) if k < layers else np.sqrt(0.5 / fan_in) / gain**layers
        weight = (width * rng.normal(size=(fan_in, fan_out))).astype(dtype)
        z = h @ weight
        bias = (-thresholds(rng, z) if k < layers else 0.5 * rng.normal(size=fan_out)).astype(dtype)
        weights.append(weight)
        biases.append(bias)
        logits, h = z + bias, np.maximum(z + bias, 0)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.where(p[np.arange(samples), y] > 0.7, p.argmin(axis=1), y)
    return x, y, weights, biases


def check(submission, reference, x, y, weights, biases):
    """Check the loss and every gradient against the reference."""
    answer = submission.loss_and_gradients(x, y, weights, biases)
    assert_close(answer, reference.loss_and_gradients(x, y, weights, biases), names=NAMES)


def check_with_differences(submission, reference, rng, x, y, weights, biases):
    """Check the loss and every gradient against the reference, and the gradients by finite differences."""
    answer = submission.loss_and_gradients(x, y, weights, biases)
    want = reference.loss_and_gradients(x, y, weights, biases)
    assert_close(answer, want, names=NAMES)
    layers = len(weights)

    def loss(*parameters):
        return reference.exact.loss_and_gradients(x, y, list(parameters[:layers]), list(parameters[layers:]))[0]

    assert_gradients(
        (*answer[1], *answer[2]),
        (*want[1], *want[2]),
        forward=loss,
        at=(*weights, *biases),
        cotangent=1.0,
        rng=rng,
        names=[f"{name}[{k}]" for name in NAMES[1:] for k in range(layers)],
    )


@pytest.mark.points(2)
@BOTH_WIDTHS
@pytest.mark.parametrize(("samples", "sizes"), [(7, (5, 3)), (2, (3, 11))])
def test_one_layer(submission, reference, rng, samples, sizes, dtype):
    """One layer: no activation, softmax regression."""
    check_with_differences(submission, reference, rng, *draw(rng, samples, sizes, dtype))


@pytest.mark.points(4)
@BOTH_WIDTHS
@pytest.mark.parametrize(("samples", "sizes"), [(9, (5, 13, 3)), (6, (7, 3, 5)), (5, (4, 4, 4))])
def test_two_layers(submission, reference, rng, samples, sizes, dtype):
    """Two layers: every gradient agrees with the reference and with finite differences."""
    check_with_differences(submission, reference, rng, *draw(rng, samples, sizes, dtype))


@pytest.mark.points(4)
@BOTH_WIDTHS
@pytest.mark.parametrize(("samples", "sizes"), [(11, (3, 7, 5, 9, 4)), (8, (5, 5, 5, 5, 5, 5)), (13, (6, 11, 7, 2))])
def test_many_layers(submission, reference, rng, samples, sizes, dtype):
    """Many layers: the gradient is right all the way down to the first."""
    check_with_differences(submission, reference, rng, *draw(rng, samples, sizes, dtype))


@pytest.mark.points(2)
@BOTH_WIDTHS
@pytest.mark.parametrize(
    ("samples", "sizes"),
    [(1, (4, 3)), (1, (5, 7, 3)), (7, (1, 5, 3)), (6, (3, 1, 4)), (8, (3, 5, 1, 2)), (1, (1, 1, 2)), (1, (1, 2))],
)
def test_sizes_of_one(submission, reference, rng, samples, sizes, dtype):
    """A batch of one sample, one feature, one hidden unit."""
    check(submission, reference, *draw(rng, samples, sizes, dtype))


@pytest.mark.points(1)
@pytest.mark.parametrize("sizes", [(4, 3), (5, 7, 3)])
def test_repeated_batch_has_the_same_mean(submission, reference, rng, sizes):
    """Repeating every sample of a batch changes neither the loss nor the gradients."""
    x, y, weights, biases = draw(rng, 5, sizes, np.float64)
    want = reference.loss_and_gradients(x, y, weights, biases)
    answer = submission.loss_and_gradients(np.repeat(x, 3, axis=0), np.repeat(y, 3), weights, biases)
    assert_close(answer, want, names=NAMES)


@pytest.mark.points(1)
@BOTH_WIDTHS
@pytest.mark.parametrize("labels", [(0, 1), (1, 3), (3, 4), (2,), (0,)])
def test_classes_absent_from_the_labels(submission, reference, rng, labels, dtype):
    """Classes that no sample of the batch has still get their gradient."""
    x, _, weights, biases = draw(rng, 6, (3, 7, 5), dtype)
    check(submission, reference, x, rng.choice(labels, size=6), weights, biases)


@pytest.mark.points(2)
@BOTH_WIDTHS
@pytest.mark.parametrize("shift", [-4.0, -30.0])
def test_negative_logits(submission, reference, rng, shift, dtype):
    """Logits below zero count as they are: the last layer has no activation."""
    x, y, weights, biases = draw(rng, 7, (4, 9, 5), dtype)
    biases[-1] += dtype(shift)
    check(submission, reference, x, y, weights, biases)


@pytest.mark.points(2)
@BOTH_WIDTHS
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_logits_with_a_large_common_part(submission, reference, rng, sign, dtype):
    """Rows whose logits are all near 1000, or all near -1000, or both in one batch."""
    # The first feature is the row's common part, exact in every width: row after row 1000, 0, -1000, 3000, ...
    for common in (sign * np.array([1000, 2000, 1500]), sign * np.array([1000, 0, -1000, 3000, -3000])):
        x, y, weights, biases = draw(rng, len(common), (5, 4), dtype)
        x[:, 0] = common
        weights[0][0] = 1
        check(submission, reference, x, y, weights, biases)


@pytest.mark.points(2)
@BOTH_WIDTHS
def test_confident_mistakes(submission, reference, rng, dtype):
    """A sample whose label lies thousands below the largest logit has a loss of thousands."""
    x, _, weights, biases = draw(rng, 6, (4, 5), dtype)
    x[:, 0] = [1, -1, 2, 1, -2, 1]
    weights[0][0] = [1200, 150, 0, -150, -1200]
    check(submission, reference, x, np.array([4, 0, 2, 1, 3, 0]), weights, biases)


@pytest.mark.points(2)
@BOTH_WIDTHS
@pytest.mark.parametrize("gain", [5.0, 30.0])
def test_large_activations(submission, reference, rng, gain, dtype):
    """Large inputs and hidden layers: no activation and no gradient is clipped."""
    check(submission, reference, *draw(rng, 9, (5, 7, 6, 4), dtype, gain))


@pytest.mark.points(1)
@BOTH_WIDTHS
@pytest.mark.parametrize("integer", [np.int64, np.int32, np.int16, np.uint8])
def test_labels_of_any_integer_dtype(submission, reference, rng, integer, dtype):
    """Labels may be of any integer dtype."""
    x, y, weights, biases = draw(rng, 6, (3, 5, 4), dtype)
    check(submission, reference, x, y.astype(integer), weights, biases)


@pytest.mark.points(1)
@BOTH_WIDTHS
def test_any_memory_layout(submission, reference, rng, dtype):
    """Inputs may be transposed, reversed or sliced: only their values count."""
    x, y, weights, biases = draw(rng, 5, (4, 7, 3), dtype)
    want = reference.loss_and_gradients(x, y, weights, biases)
    spaced = np.repeat(y, 2)[::2]
    for other in layouts(x):
        assert_close(submission.loss_and_gradients(other, spaced, weights, biases), want, names=NAMES)
    for first, second in zip(layouts(weights[0]), layouts(weights[1]), strict=True):
        backwards = [bias[::-1].copy()[::-1] for bias in biases]
        assert_close(submission.loss_and_gradients(x, y, [first, second], backwards), want, names=NAMES)


@pytest.mark.points(1)
@BOTH_WIDTHS
def test_arguments_stay_unchanged(submission, reference, rng, dtype):
    """No argument changes, neither the arrays nor the lists."""
    for sizes in [(4, 3), (5, 7, 3), (4, 4, 4, 4)]:
        check(submission, reference, *draw(rng, 6, sizes, dtype))
    assert_unchanged(submission)


@pytest.mark.points(1)
def test_calls_are_independent(submission, reference, rng):
    """A call's answer depends on its arguments only, not on the calls before it."""
    first, second, third = (draw(rng, 6, sizes, np.float64) for sizes in [(4, 5, 3), (4, 5, 3), (2, 3)])
    for batch in (first, second, third, first):
        check(submission, reference, *batch)


@pytest.mark.points(2)
@BOTH_WIDTHS
def test_larger_batch(submission, reference, rng, dtype):
    """A batch of 128 samples and layers of 64 units."""
    check(submission, reference, *draw(rng, 128, (31, 64, 64, 10), dtype))


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Keeps within a multiple of the reference's time and memory on a large batch."""
    speed(
        "loss_and_gradients",
        lambda n: draw(rng, n, (64, 192, 128, 10), np.float64),
        sizes=(32, 64, 128),
        ratio=30,
        growth=1.8,
        memory=8,
    )
