"""The reference of lstm-cell against PyTorch, finite differences, and its limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.lstm_cell import lstm_cell, lstm_cell_backward

sizes = st.tuples(*[st.integers(1, 6)] * 3)
seeds = st.integers(0, 2**32)


def draw(rng, n, d, h, scale=1.0):
    """Draw the seven arguments of lstm_cell."""
    shapes = [(n, d), (n, h), (n, h), (4 * h, d), (4 * h, h), (4 * h,), (4 * h,)]
    return [scale * rng.normal(size=shape) for shape in shapes]


def torch_cell(arguments):
    """Run torch.nn.LSTMCell with these weights; return its states and the leaves in the reference's order."""
    leaves = [torch.tensor(array, requires_grad=True) for array in arguments]
    x, h, c, *parameters = leaves
    cell = torch.nn.LSTMCell(x.shape[1], h.shape[1], dtype=torch.float64)
    named = dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), parameters, strict=True))
    return torch.func.functional_call(cell, named, (x, (h, c))), leaves


@settings(max_examples=40, deadline=None)
@given(sizes, seeds, st.sampled_from([0.1, 1.0, 30.0]))
def test_states_and_gradients_agree_with_torch(ndh, seed, scale):
    """Both states and all seven gradients equal those of torch.nn.LSTMCell, also with saturated gates."""
    rng = np.random.default_rng(seed)
    n, _, h = ndh
    arguments = draw(rng, *ndh, scale=scale)
    states, leaves = torch_cell(arguments)
    cotangents = rng.normal(size=(2, n, h))
    torch.autograd.backward(states, [torch.tensor(part) for part in cotangents])
    for got, want in zip(lstm_cell(*arguments), states, strict=True):
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-11, atol=1e-11 * scale)
    for got, leaf in zip(lstm_cell_backward(*cotangents, *arguments), leaves, strict=True):
        assert got.shape == tuple(leaf.shape)
        np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=1e-10, atol=1e-11 * scale**2)


@settings(max_examples=30, deadline=None)
@given(sizes, seeds)
def test_gradients_agree_with_finite_differences(ndh, seed):
    """Each gradient, along a random direction, equals a central difference."""
    rng = np.random.default_rng(seed)
    n, _, h = ndh
    arguments = draw(rng, *ndh)
    cotangents = rng.normal(size=(2, n, h))
    step = 1e-5
    for index, gradient in enumerate(lstm_cell_backward(*cotangents, *arguments)):
        there, back = list(arguments), list(arguments)
        direction = rng.normal(size=gradient.shape)
        there[index] = there[index] + step * direction
        back[index] = back[index] - step * direction
        difference = (np.stack(lstm_cell(*there)) - np.stack(lstm_cell(*back))) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), np.sum(cotangents * difference), rtol=1e-6, atol=1e-6)


def test_backpropagation_through_time_agrees_with_torch():
    """The gradients chained through a sequence of steps equal those of torch.nn.LSTM."""
    rng = np.random.default_rng(11)
    steps, n, d, h = 9, 3, 4, 5
    _, state, c, *parameters = draw(rng, n, d, h, scale=0.5)
    inputs, from_loss = rng.normal(size=(steps, n, d)), rng.normal(size=(steps, n, h))

    leaves = [torch.tensor(array, requires_grad=True) for array in (inputs, state, c, *parameters)]
    lstm = torch.nn.LSTM(d, h, dtype=torch.float64)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    initial = (leaves[1][None], leaves[2][None])
    named = dict(zip(names, leaves[3:], strict=True))
    outputs, _ = torch.func.functional_call(lstm, named, (leaves[0], initial))
    outputs.backward(torch.tensor(from_loss))

    before = []
    for x in inputs:
        before.append((x, state, c))
        state, c = lstm_cell(x, state, c, *parameters)
    np.testing.assert_allclose(state, outputs[-1].detach().numpy(), rtol=0, atol=1e-13)

    grad_state, grad_c = np.zeros((n, h)), np.zeros((n, h))
    grad_inputs, totals = [], [np.zeros_like(parameter) for parameter in parameters]
    for step, grad_output in zip(reversed(before), from_loss[::-1], strict=True):
        grad_x, grad_state, grad_c, *grads = lstm_cell_backward(grad_state + grad_output, grad_c, *step, *parameters)
        grad_inputs.insert(0, grad_x)
        totals = [total + grad for total, grad in zip(totals, grads, strict=True)]
    for got, leaf in zip((np.stack(grad_inputs), grad_state, grad_c, *totals), leaves, strict=True):
        np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_gates_reach_their_limits_without_a_warning(dtype):
    """Pre-activations of +-3000 give gates of exactly 0 and 1, and gradients of 0 through them."""
    arguments = [array.astype(dtype) for array in draw(np.random.default_rng(12), 2, 3, 1, scale=0.1)]
    c, bias = arguments[2], arguments[5]
    ones = np.ones_like(c)
    bias[:] = [3000, -3000, 3000, 3000]
    h_next, c_next = lstm_cell(*arguments)
    np.testing.assert_array_equal(c_next, ones)
    np.testing.assert_array_equal(h_next, np.tanh(ones))
    assert not any(part.any() for part in lstm_cell_backward(ones, ones, *arguments))
    bias[:] = [-3000, 3000, -3000, -3000]
    h_next, c_next = lstm_cell(*arguments)
    np.testing.assert_array_equal(c_next, c)
    np.testing.assert_array_equal(h_next, 0 * ones)
    np.testing.assert_array_equal(lstm_cell_backward(ones, ones, *arguments)[2], ones)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_and_arguments_are_left_alone(dtype):
    """Results have the dtype of the inputs, and read-only arguments are accepted."""
    arguments = [array.astype(dtype) for array in draw(np.random.default_rng(13), 3, 2, 4)]
    for array in arguments:
        array.flags.writeable = False
    states = lstm_cell(*arguments)
    assert all(part.dtype == dtype for part in states)
    assert all(part.dtype == dtype for part in lstm_cell_backward(*states, *arguments))
