"""The reference of conv2d against PyTorch, finite differences, and properties of the convolution."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reference.conv2d import conv2d, conv2d_backward

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def cases(draw):
    """Draw x, weight, bias and options, with at least one output."""
    groups, per_group, out_per_group = draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    images, height, width = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    assume(height + 2 * padding[0] > dilation[0] * (kernel[0] - 1))
    assume(width + 2 * padding[1] > dilation[1] * (kernel[1] - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(size=(images, groups * per_group, height, width))
    weight = rng.normal(size=(groups * out_per_group, per_group, *kernel))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, weight, rng.normal(size=weight.shape[0]), options, rng


@settings(max_examples=60, deadline=None)
@given(cases())
def test_output_and_gradients_agree_with_torch_for_any_options(case):
    """Output and all three gradients equal those of torch.nn.functional.conv2d to rounding."""
    x, weight, bias, options, rng = case
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    output = torch.nn.functional.conv2d(*leaves, **options)
    grad_output = rng.normal(size=output.shape)
    output.backward(torch.tensor(grad_output))
    np.testing.assert_allclose(conv2d(x, weight, bias, **options), output.detach().numpy(), rtol=0, atol=1e-12)
    for got, leaf in zip(conv2d_backward(grad_output, x, weight, **options), leaves, strict=True):
        assert got.shape == tuple(leaf.shape)
        np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=0, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_gradients_agree_with_finite_differences(case):
    """The output is linear in each argument, so a difference along any direction is exact to rounding."""
    x, weight, bias, options, rng = case
    grad_output = rng.normal(size=conv2d(x, weight, bias, **options).shape)
    gradients = conv2d_backward(grad_output, x, weight, **options)
    for index, gradient in enumerate(gradients):
        there, back = [x, weight, bias], [x, weight, bias]
        direction = rng.normal(size=gradient.shape)
        there[index], back[index] = there[index] + direction, back[index] - direction
        difference = (conv2d(*there, **options) - conv2d(*back, **options)) / 2
        np.testing.assert_allclose(np.sum(gradient * direction), np.sum(grad_output * difference), rtol=0, atol=1e-9)


@pytest.mark.parametrize("option", ["stride", "padding", "dilation"])
def test_one_number_counts_for_both_directions(option):
    """An int means the same as the pair of it, forward and backward."""
    rng = np.random.default_rng(7)
    x, weight = rng.normal(size=(2, 2, 8, 7)), rng.normal(size=(3, 2, 2, 3))
    output = conv2d(x, weight, **{option: 2})
    np.testing.assert_array_equal(output, conv2d(x, weight, **{option: (2, 2)}))
    as_int, as_pair = (conv2d_backward(output, x, weight, **{option: value}) for value in (2, (2, 2)))
    for got, want in zip(as_int, as_pair, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_inputs_is_kept(dtype):
    """Nothing is computed or returned in a dtype that the caller did not choose."""
    rng = np.random.default_rng(8)
    x, weight, bias = (rng.normal(size=size).astype(dtype) for size in ((2, 4, 5, 6), (6, 2, 3, 2), (6,)))
    output = conv2d(x, weight, bias, padding=1, groups=2)
    assert output.dtype == dtype
    assert all(part.dtype == dtype for part in conv2d_backward(output, x, weight, padding=1, groups=2))


def test_entries_that_no_window_meets_have_gradient_zero():
    """With stride 3 and a kernel of 2, the last of each three rows and columns gets exactly 0."""
    rng = np.random.default_rng(9)
    x, weight = rng.normal(size=(1, 2, 8, 8)), rng.normal(size=(2, 2, 2, 2))
    grad_x, _, _ = conv2d_backward(rng.normal(size=(1, 2, 3, 3)), x, weight, stride=3)
    assert not grad_x[..., 2::3, :].any()
    assert not grad_x[..., 2::3].any()
    assert grad_x[..., ::3, ::3].all()


def test_arguments_are_left_alone():
    """Read-only arguments are accepted, so nothing is written to them."""
    rng = np.random.default_rng(10)
    arrays = [rng.normal(size=size) for size in ((1, 2, 2, 2), (1, 2, 3, 3), (2, 2, 2, 2), (2,))]
    for array in arrays:
        array.flags.writeable = False
    grad_output, x, weight, bias = arrays
    assert conv2d(x, weight, bias).shape == grad_output.shape
    assert len(conv2d_backward(grad_output, x, weight)) == 3
