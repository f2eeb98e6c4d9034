"""The reference for `fused-softmax` agrees with PyTorch's own softmax and with its definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.fused_softmax import fused_softmax


def drawn(seed, rows, columns, dtype=torch.float64):
    """Draw scores and a bias."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in ((rows, columns), (columns,))
    ]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 9), columns=st.integers(1, 70), scale=st.floats(-4, 4))
def test_agrees_with_pytorch(seed, rows, columns, scale):
    """Any number of rows and columns, any scale."""
    x, bias = drawn(seed, rows, columns)
    want = torch.softmax(scale * x + bias, dim=-1)
    torch.testing.assert_close(fused_softmax(x, bias, scale=scale), want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_large_scores_and_hidden_columns(dtype):
    """Nothing overflows, what is hidden has probability 0, the dtype is kept."""
    x, _ = drawn(1, 3, 5, dtype)
    bias = torch.tensor([0, 0, -6e4, 0, -6e4], dtype=dtype)
    y = fused_softmax(x + 512, bias)
    assert y.dtype == dtype
    assert y.isfinite().all()
    assert not y[:, [2, 4]].any()
    torch.testing.assert_close(y.float().sum(dim=-1), torch.ones(3), rtol=0, atol=0.02)


def test_the_statements_example():
    """The probabilities of log 1, log 2 and log 3, with scale 1 and 2."""
    x, bias = torch.tensor([[1.0, 2, 3]], dtype=torch.float64).log(), torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(
        fused_softmax(x, bias)[0], torch.tensor([1, 2, 3]) / torch.tensor(6.0, dtype=torch.float64)
    )
    want = torch.tensor([1, 4, 9]) / torch.tensor(14.0, dtype=torch.float64)
    torch.testing.assert_close(fused_softmax(x, bias, scale=2.0)[0], want)
