"""The reference for `backprop` agrees with PyTorch's autograd and with finite differences."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.backprop import loss_and_gradients

SIZES = [(4, 3), (1, 2), (5, 7, 3), (3, 1, 4), (1, 1, 2), (3, 7, 5, 9, 4), (4, 4, 4, 4, 4, 4)]


def network(rng, samples, sizes, dtype=np.float64):
    """Draw a batch and a network whose widths are `sizes`."""
    x = rng.normal(size=(samples, sizes[0])).astype(dtype)
    y = rng.integers(sizes[-1], size=samples)
    weights = [(rng.normal(size=pair) / np.sqrt(pair[0])).astype(dtype) for pair in pairwise(sizes)]
    biases = [rng.normal(size=out).astype(dtype) for out in sizes[1:]]
    return x, y, weights, biases


def torch_loss_and_gradients(x, y, weights, biases):
    """Compute the same with torch.nn.functional and autograd."""
    leaves = [torch.from_numpy(array.copy()).requires_grad_() for array in (*weights, *biases)]
    layers = len(weights)
    h = torch.from_numpy(x)
    for k in range(layers):
        h = torch.nn.functional.linear(h, leaves[k].T, leaves[layers + k])
        if k < layers - 1:
            h = torch.relu(h)
    loss = torch.nn.functional.cross_entropy(h, torch.from_numpy(y).long())
    gradients = [gradient.numpy() for gradient in torch.autograd.grad(loss, leaves)]
    return loss.item(), gradients[:layers], gradients[layers:]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(1, 9), sizes=st.sampled_from(SIZES))
def test_loss_and_gradients_agree_with_pytorch(seed, samples, sizes):
    """One, two and many layers, sizes of one included: every gradient equals autograd's."""
    batch = network(np.random.default_rng(seed), samples, sizes)
    loss, grad_weights, grad_biases = loss_and_gradients(*batch)
    want_loss, want_weights, want_biases = torch_loss_and_gradients(*batch)
    assert loss == pytest.approx(want_loss, rel=1e-12, abs=1e-14)
    for got, want in zip([*grad_weights, *grad_biases], [*want_weights, *want_biases], strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_agree_with_finite_differences(sizes):
    """A step along any direction changes the loss by the gradient's share of it."""
    rng = np.random.default_rng(len(sizes))
    x, y, weights, biases = network(rng, 6, sizes)
    _, grad_weights, grad_biases = loss_and_gradients(x, y, weights, biases)
    directions = [rng.normal(size=array.shape) for array in (*weights, *biases)]
    slope = sum(np.sum(g * d) for g, d in zip([*grad_weights, *grad_biases], directions, strict=True))

    def loss(step):
        moved = [p + step * d for p, d in zip([*weights, *biases], directions, strict=True)]
        return loss_and_gradients(x, y, moved[: len(weights)], moved[len(weights) :])[0]

    assert (loss(1e-6) - loss(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("common", [1000.0, -1000.0])
def test_a_large_common_part_of_the_logits_changes_nothing(common):
    """Logits of 0, 1, 2 and the same 1000 higher or lower have the same loss and the same gradients."""
    biases = [np.array([0.0, 1.0, 2.0])]
    loss, _, (grad_bias,) = loss_and_gradients(np.array([[common]]), np.array([1]), [np.ones((1, 3))], biases)
    want, _, (want_bias,) = loss_and_gradients(np.array([[0.0]]), np.array([1]), [np.ones((1, 3))], biases)
    assert loss == want == pytest.approx(np.log(1 + np.e + np.e**2) - 1, rel=1e-12)
    np.testing.assert_array_equal(grad_bias, want_bias)


def test_a_confident_mistake_costs_its_distance():
    """A label 2000 below the largest logit has a loss of 2000, and a gradient of 1 in both."""
    x, y = np.ones((1, 1)), np.array([2])
    loss, (grad_weight,), _ = loss_and_gradients(x, y, [np.array([[1000.0, 0, -1000]])], [np.zeros(3)])
    assert loss == 2000
    np.testing.assert_array_equal(grad_weight, [[1, 0, -1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    """Gradients and loss have the dtype of the inputs."""
    loss, grad_weights, grad_biases = loss_and_gradients(*network(np.random.default_rng(0), 5, (4, 7, 3), dtype))
    assert {array.dtype for array in (loss, *grad_weights, *grad_biases)} == {np.dtype(dtype)}


def test_a_unit_at_zero_passes_no_gradient():
    """The derivative of relu at 0 is taken as 0."""
    weights, biases = [np.zeros((2, 3)), np.ones((3, 2)) * [1.0, 2.0]], [np.zeros(3), np.zeros(2)]
    _, grad_weights, grad_biases = loss_and_gradients(np.ones((1, 2)), np.array([0]), weights, biases)
    assert not grad_weights[0].any()
    assert not grad_biases[0].any()


def test_arguments_stay_unchanged():
    """Neither the arrays nor the lists change."""
    x, y, weights, biases = network(np.random.default_rng(1), 5, (4, 6, 3))
    before = [array.copy() for array in (x, y, *weights, *biases)]
    loss_and_gradients(x, y, weights, biases)
    for array, copy in zip((x, y, *weights, *biases), before, strict=True):
        np.testing.assert_array_equal(array, copy)
