"""The reference for `attention` agrees with PyTorch's own attention, autograd's check and its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from reference.attention import attention


def drawn(seed, leading, sizes, dtype=torch.float64):
    """Draw query, key and value for sizes (L, S, E, V)."""
    generator = torch.Generator().manual_seed(seed)
    queries, keys, width, out = sizes
    shapes = [(queries, width), (keys, width), (keys, out)]
    return [torch.randn(*leading, *shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def drawn_mask(seed, *shape):
    """Draw a bool mask that shows every query its first key."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[..., 0] = True
    return mask


SEEDS = st.integers(0, 2**31)
LEADING = st.sampled_from([(), (1,), (3,), (2, 3)])
SIZES = st.tuples(*[st.integers(1, 7)] * 4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, leading=LEADING, sizes=SIZES, masked=st.booleans(), causal=st.booleans())
def test_agrees_with_pytorch(seed, leading, sizes, masked, causal):
    """Any leading dimensions and sizes, with and without mask and causal, alone and together."""
    query, key, value = drawn(seed, leading, sizes)
    queries, keys, *_ = sizes
    mask = drawn_mask(seed, *leading, queries, keys) if masked else None
    allowed = torch.ones(queries, keys, dtype=torch.bool) if mask is None else mask
    if causal:
        allowed = allowed & (torch.arange(queries)[:, None] >= torch.arange(keys))
    want = scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    torch.testing.assert_close(attention(query, key, value, mask=mask, causal=causal), want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 1), (1, 1), (4, 5), (3, 4, 5), (2, 1, 1, 5), (1, 3, 4, 1)])
def test_masks_broadcast(shape):
    """A mask of any shape that broadcasts means the same as the mask in full."""
    args = drawn(0, (2, 3), (4, 5, 3, 2))
    mask = drawn_mask(1, *shape)
    torch.testing.assert_close(attention(*args, mask=mask), attention(*args, mask=mask.expand(2, 3, 4, 5)))


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_agree_with_finite_differences(causal):
    """Autograd through the reference passes gradcheck, with rows without keys among the others."""
    args = [tensor.requires_grad_() for tensor in drawn(2, (2,), (4, 5, 3, 2))]
    mask = drawn_mask(3, 4, 5)
    mask[1] = False
    mask[2, 0] = False
    assert torch.autograd.gradcheck(lambda *qkv: attention(*qkv, mask=mask, causal=causal), args)


def test_a_query_without_keys_gets_zeros_and_zero_gradients():
    """Rows without keys are exactly zero, by the mask alone or with causal, and so are their gradients."""
    mask = torch.tensor([[False, True, True], [True, True, False], [False, False, False]])
    for causal, blind in ((False, [2]), (True, [0, 2])):
        query, key, value = (tensor.requires_grad_() for tensor in drawn(4, (), (3, 3, 2, 4)))
        output = attention(query, key, value, mask=mask, causal=causal)
        gradients = torch.autograd.grad(output.square().sum(), (query, key, value))
        assert not output[blind].any()
        assert not gradients[0][blind].any()
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [2.0**10, -(2.0**10), 2.0**30])
def test_scores_of_any_size_choose_the_largest(dtype, size):
    """With scores far apart the output is the value of the winning key, and the dtype is kept."""
    query = torch.tensor([[size, 0, 0, 0]], dtype=dtype)
    key = torch.tensor([[1.0, 0, 0, 0], [-2, 0, 0, 0], [3, 0, 0, 0]], dtype=dtype)
    value = torch.tensor([[1.0], [2], [3]], dtype=dtype)
    output = attention(query, key, value)
    assert output.dtype == dtype
    assert output.item() == (3 if size > 0 else 2)


def test_weights_follow_the_definition():
    """The statement's example: scores log 3 and 0 weigh 3/4 and 1/4."""
    query = torch.tensor([[2 * math.log(3), 0, 0, 0]], dtype=torch.float64)
    value = torch.tensor([[4, 0, 8], [0, 4, 8]], dtype=torch.float64)
    want = torch.tensor([[3, 1, 8]], dtype=torch.float64)
    torch.testing.assert_close(attention(query, torch.eye(2, 4, dtype=torch.float64), value), want)
