"""What decides the exercise conv2d. A case gives the shape of x, the shape of weight, and the options."""

import numpy as np
import pytest
from grader.checkers import assert_close, assert_gradients, assert_unchanged
from grader.draw import layouts

NAMES = ("grad_x", "grad_weight", "grad_bias")
DTYPES = [np.float32, np.float64]

PLAIN = [((2, 3, 7, 5), (4, 3, 3, 3)), ((3, 2, 5, 8), (5, 2, 2, 2)), ((1, 5, 9, 11), (2, 5, 5, 5))]
RECTANGLES = [((2, 2, 6, 9), (3, 2, 1, 4)), ((2, 3, 9, 4), (2, 3, 5, 2)), ((1, 2, 3, 11), (3, 2, 2, 7))]
SMALLEST = [
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((3, 4, 5, 7), (6, 4, 1, 1), {}),
    ((2, 4, 5, 6), (6, 2, 1, 1), {"stride": (2, 3), "padding": (1, 0), "dilation": 2, "groups": 2}),
    ((1, 3, 1, 6), (2, 3, 1, 3), {}),
    ((2, 1, 7, 1), (1, 1, 2, 1), {"stride": (3, 2)}),
    ((2, 3, 4, 5), (3, 3, 4, 5), {}),
    ((2, 2, 3, 4), (3, 2, 5, 8), {"padding": (1, 2)}),
    ((2, 3, 1, 1), (2, 3, 3, 3), {"padding": 1}),
    ((2, 2, 5, 4), (3, 2, 3, 2), {"dilation": (2, 3), "stride": 2}),
]
STRIDES = [
    ((2, 3, 8, 11), (4, 3, 3, 2), {"stride": 2}),
    ((1, 2, 11, 9), (3, 2, 2, 2), {"stride": 4}),
    ((2, 2, 9, 10), (3, 2, 3, 3), {"stride": (3, 2)}),
    ((2, 2, 8, 12), (3, 2, 3, 3), {"stride": (1, 5)}),
]
PADDINGS = [
    ((2, 3, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ((2, 2, 6, 5), (3, 2, 2, 3), {"padding": (2, 1)}),
    ((1, 2, 5, 4), (2, 2, 3, 3), {"padding": (0, 2)}),
    ((1, 2, 4, 6), (2, 2, 3, 2), {"padding": (1, 0)}),
    ((2, 1, 3, 4), (2, 1, 2, 2), {"padding": 4}),
]
DILATIONS = [
    ((2, 3, 9, 8), (4, 3, 3, 3), {"dilation": 2}),
    ((2, 2, 9, 9), (3, 2, 3, 2), {"dilation": (1, 4)}),
    ((2, 2, 10, 7), (3, 2, 3, 3), {"dilation": (3, 2)}),
]
TOGETHER = [
    ((2, 3, 11, 10), (4, 3, 3, 3), {"stride": 2, "padding": 3, "dilation": 2}),
    ((2, 2, 9, 13), (3, 2, 3, 2), {"stride": (2, 3), "padding": (3, 1), "dilation": (1, 4)}),
    ((1, 3, 12, 8), (2, 3, 2, 4), {"stride": (3, 1), "padding": (0, 2), "dilation": (5, 2)}),
    ((3, 2, 7, 12), (2, 2, 4, 3), {"stride": (1, 4), "padding": (2, 0), "dilation": (2, 3)}),
]
GROUPS = [
    ((2, 4, 6, 5), (6, 2, 3, 2), {"groups": 2}),
    ((2, 6, 5, 6), (3, 2, 2, 3), {"groups": 3}),
    ((1, 9, 4, 5), (6, 3, 2, 2), {"groups": 3}),
]
DEPTHWISE = [
    ((2, 5, 6, 5), (5, 1, 3, 3), {"groups": 5}),
    ((2, 3, 5, 7), (6, 1, 2, 3), {"groups": 3}),
    ((2, 3, 7, 5), (9, 1, 3, 2), {"groups": 3, "stride": (1, 2), "padding": (2, 1)}),
]
GROUPS_TOGETHER = [
    ((2, 4, 9, 8), (6, 2, 3, 3), {"groups": 2, "dilation": 2}),
    ((2, 6, 11, 9), (9, 2, 2, 3), {"groups": 3, "stride": (2, 1), "padding": (1, 3), "dilation": (4, 2)}),
    ((1, 4, 8, 12), (8, 1, 3, 2), {"groups": 4, "stride": (1, 3), "padding": (2, 0), "dilation": (2, 5)}),
]


def normal(rng, shape, dtype=np.float64):
    """Draw an array that has no symmetry and no zeros."""
    return rng.normal(size=shape).astype(dtype)


def check_forward(submission, reference, rng, x_shape, weight_shape, options, dtype=np.float64):
    """Compare the outputs for one draw."""
    x, weight, bias = (normal(rng, shape, dtype) for shape in (x_shape, weight_shape, weight_shape[:1]))
    want = reference.conv2d(x, weight, bias=bias, **options)
    assert_close(submission.conv2d(x, weight, bias=bias, **options), want)


def check_backward(submission, reference, rng, x_shape, weight_shape, options, dtype=np.float64):
    """Compare the three gradients for one draw, with the reference and with finite differences."""

    def forward(x, weight, bias):
        return reference.exact.conv2d(x, weight, bias=bias, **options)

    x, weight, bias = (normal(rng, shape, dtype) for shape in (x_shape, weight_shape, weight_shape[:1]))
    grad_output = normal(rng, forward(x, weight, bias).shape, dtype)
    got = submission.conv2d_backward(grad_output, x, weight, **options)
    want = reference.conv2d_backward(grad_output, x, weight, **options)
    at = (x, weight, bias)
    assert_gradients(got, want, forward=forward, at=at, cotangent=grad_output, rng=rng, names=NAMES, batched=True)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape"), PLAIN)
@pytest.mark.parametrize("dtype", DTYPES)
def test_plain(submission, reference, rng, x_shape, weight_shape, dtype):
    """Without options, agrees with the definition for several images, channels and kernels."""
    check_forward(submission, reference, rng, x_shape, weight_shape, {}, dtype)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape"), RECTANGLES)
def test_rectangular(submission, reference, rng, x_shape, weight_shape):
    """Images and kernels need not be square."""
    check_forward(submission, reference, rng, x_shape, weight_shape, {})


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), SMALLEST)
def test_smallest_sizes(submission, reference, rng, x_shape, weight_shape, options):
    """Sizes of 1, kernels of 1 x 1, and kernels as large as the padded input."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bias(submission, reference, rng, dtype):
    """The bias is added once to each output channel, and may be None or left out."""
    x, weight, bias = (normal(rng, shape, dtype) for shape in ((2, 3, 4, 5), (4, 3, 2, 3), (4,)))
    assert_close(submission.conv2d(x, weight, bias=bias), reference.conv2d(x, weight, bias=bias))
    without = reference.conv2d(x, weight)
    assert_close(submission.conv2d(x, weight, bias=None), without)
    assert_close(submission.conv2d(x, weight), without)
    options = {"stride": (2, 1), "padding": (0, 1)}
    assert_close(submission.conv2d(x, weight, **options), reference.conv2d(x, weight, **options))
    zero = np.zeros_like(bias)
    assert_close(submission.conv2d(x, weight, bias=zero), reference.conv2d(x, weight, bias=zero))
    one = {"bias": bias[:1], "padding": 1}
    assert_close(submission.conv2d(x, weight[:1], **one), reference.conv2d(x, weight[:1], **one))


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), STRIDES)
def test_stride(submission, reference, rng, x_shape, weight_shape, options):
    """Stride as a number and as (height, width), also where it does not divide."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), PADDINGS)
def test_padding(submission, reference, rng, x_shape, weight_shape, options):
    """Zero padding as a number and as (height, width), 0 in one direction, and wider than the kernel."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), DILATIONS)
def test_dilation(submission, reference, rng, x_shape, weight_shape, options):
    """Dilation as a number and as (height, width)."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(2)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), TOGETHER)
def test_options_together(submission, reference, rng, x_shape, weight_shape, options):
    """Stride, padding and dilation together, each with its own values for height and width."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), GROUPS)
def test_groups(submission, reference, rng, x_shape, weight_shape, options):
    """Groups are consecutive blocks of input and of output channels."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), DEPTHWISE)
def test_depthwise(submission, reference, rng, x_shape, weight_shape, options):
    """A group for each input channel, with one or more kernels each."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(2)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), GROUPS_TOGETHER)
@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_with_options(submission, reference, rng, x_shape, weight_shape, options, dtype):
    """Groups together with dilation, stride and padding."""
    check_forward(submission, reference, rng, x_shape, weight_shape, options, dtype)


@pytest.mark.points(2)
@pytest.mark.parametrize(("x_shape", "weight_shape"), PLAIN + RECTANGLES[:2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_plain(submission, reference, rng, x_shape, weight_shape, dtype):
    """The three gradients without options."""
    check_backward(submission, reference, rng, x_shape, weight_shape, {}, dtype)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), SMALLEST)
def test_gradients_smallest_sizes(submission, reference, rng, x_shape, weight_shape, options):
    """The three gradients for sizes of 1, kernels of 1 x 1, and kernels as large as the padded input."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(2)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), STRIDES)
def test_gradients_stride(submission, reference, rng, x_shape, weight_shape, options):
    """The three gradients with a stride; entries of x that no window meets get 0."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), PADDINGS)
def test_gradients_padding(submission, reference, rng, x_shape, weight_shape, options):
    """The three gradients with padding, 0 in one direction, and wider than the kernel."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), DILATIONS)
def test_gradients_dilation(submission, reference, rng, x_shape, weight_shape, options):
    """The three gradients with dilation."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(2)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), TOGETHER)
def test_gradients_options_together(submission, reference, rng, x_shape, weight_shape, options):
    """The three gradients with stride, padding and dilation together."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), GROUPS + DEPTHWISE)
def test_gradients_groups(submission, reference, rng, x_shape, weight_shape, options):
    """The three gradients with groups, up to a group for each channel."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(2)
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), GROUPS_TOGETHER)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_groups_with_options(submission, reference, rng, x_shape, weight_shape, options, dtype):
    """The three gradients with groups together with dilation, stride and padding."""
    check_backward(submission, reference, rng, x_shape, weight_shape, options, dtype)


@pytest.mark.points(2)
@pytest.mark.parametrize("draw", range(5))
def test_drawn_sizes_and_options(submission, reference, rng, draw):
    """Output and gradients for sizes and options drawn anew at each judging."""
    groups, kernel, output = int(rng.integers(1, 4)), rng.integers(1, 5, 2), rng.integers(1, 5, 2)
    stride, dilation = rng.integers(1, 4, 2), rng.integers(1, 4, 2)
    padded = (output - 1) * stride + dilation * (kernel - 1) + 1 + rng.integers(0, stride)
    padding = np.minimum(rng.integers(0, 4, 2), (padded - 1) // 2)
    images, per_group, out_per_group = rng.integers(1, 4, 3).tolist()
    x_shape = (images, groups * per_group, *(padded - 2 * padding).tolist())
    weight_shape = (groups * out_per_group, per_group, *kernel.tolist())
    pairs = {"stride": stride, "padding": padding, "dilation": dilation}
    options = {name: tuple(pair.tolist()) for name, pair in pairs.items()} | {"groups": groups}
    check_forward(submission, reference, rng, x_shape, weight_shape, options)
    check_backward(submission, reference, rng, x_shape, weight_shape, options)


@pytest.mark.points(1)
@pytest.mark.parametrize("options", [{}, {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}])
def test_memory_layouts(submission, reference, rng, options):
    """The memory layout of the arguments (transposed, sliced, reversed) makes no difference."""
    x, bias = normal(rng, (2, 4, 6, 7)), normal(rng, 6)
    weight = normal(rng, (6, 4 // options.get("groups", 1), 3, 2))
    grad_output = normal(rng, reference.exact.conv2d(x, weight, **options).shape)
    output = reference.conv2d(x, weight, bias=bias, **options)
    gradients = reference.conv2d_backward(grad_output, x, weight, **options)
    for laid_x, laid_weight, laid_grad in zip(layouts(x), layouts(weight), layouts(grad_output), strict=True):
        assert_close(submission.conv2d(laid_x, laid_weight, bias=bias, **options), output)
        assert_close(submission.conv2d_backward(laid_grad, laid_x, laid_weight, **options), gradients, names=NAMES)
    for laid_bias in layouts(bias):
        assert_close(submission.conv2d(x, weight, bias=laid_bias, **options), output)


@pytest.mark.points(1)
@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2}, {"groups": 3}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_arguments_unchanged(submission, rng, options, dtype):
    """No argument of either function is changed."""
    x, weight, bias = normal(rng, (2, 3, 5, 5), dtype), normal(rng, (3, 3, 3, 3), dtype), normal(rng, 3, dtype)
    weight = weight[:, : 3 // options.get("groups", 1)]
    size = 3
    submission.conv2d(x, weight, bias=bias, **options)
    submission.conv2d_backward(normal(rng, (2, 3, size, size), dtype), x, weight, **options)
    assert_unchanged(submission)


@pytest.mark.points(1)
def test_calls_are_independent(submission, reference, rng):
    """The gradients belong to the arguments of that call, whatever was computed before."""
    x, weight, bias = normal(rng, (2, 2, 5, 6)), normal(rng, (3, 2, 3, 2)), normal(rng, 3)
    assert_close(submission.conv2d(x, weight, bias=bias), reference.conv2d(x, weight, bias=bias))
    other_x, other_weight, grad_output = normal(rng, x.shape), normal(rng, weight.shape), normal(rng, (2, 3, 3, 5))
    for arguments in ((grad_output, other_x, other_weight), (grad_output, x, other_weight)):
        want = reference.conv2d_backward(*arguments)
        assert_close(submission.conv2d_backward(*arguments), want, names=NAMES)
    assert_close(submission.conv2d(x, weight, bias=bias), reference.conv2d(x, weight, bias=bias))


@pytest.mark.points(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_larger_images(submission, reference, rng, dtype):
    """Larger images: right, accurate, and in time."""
    x, weight, bias = (normal(rng, shape, dtype) for shape in ((2, 4, 21, 17), (7, 4, 3, 3), (7,)))
    grad_output = normal(rng, (2, 7, 21, 17), dtype)
    want = reference.conv2d(x, weight, bias=bias, padding=1)
    assert_close(submission.conv2d(x, weight, bias=bias, padding=1), want)
    gradients = reference.conv2d_backward(grad_output, x, weight, padding=1)
    assert_close(submission.conv2d_backward(grad_output, x, weight, padding=1), gradients, names=NAMES)


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Keeps within a multiple of the reference's time and memory on large images, forward and backward."""

    def arrays(n):
        shapes = ((4, 8, n, n), (16, 8, 3, 3), (16,), (4, 16, n, n))
        return tuple(normal(rng, shape) for shape in shapes)

    def both(module, x, weight, bias, grad_output):
        out = module.conv2d(x, weight, bias=bias, padding=1)
        return out, module.conv2d_backward(grad_output, x, weight, padding=1)

    speed("conv2d", arrays, call=both, sizes=(8, 12, 20), ratio=15, growth=2.7, memory=8)
