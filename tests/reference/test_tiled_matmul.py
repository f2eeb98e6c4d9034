"""The reference for `tiled-matmul` agrees with a sum over tiles, in a loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.tiled_matmul import tiled_matmul


def drawn(seed, rows, tiles, columns, dtype=torch.float64):
    """Draw both matrices, and which tiles count."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(32 * rows, 32 * tiles, generator=generator, dtype=torch.float64).to(dtype)
    b = torch.randn(32 * tiles, columns, generator=generator, dtype=torch.float64).to(dtype)
    return a, b, torch.rand(rows, tiles, generator=generator) < 0.5


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31), rows=st.integers(1, 4), tiles=st.integers(1, 4), columns=st.sampled_from([1, 7, 32, 45])
)
def test_agrees_with_a_sum_over_tiles(seed, rows, tiles, columns):
    """Any number of tiles, of which any may count."""
    a, b, keep = drawn(seed, rows, tiles, columns)
    want = torch.zeros(32 * rows, columns, dtype=a.dtype)
    for i, k in keep.nonzero().tolist():
        want[32 * i : 32 * i + 32] += a[32 * i : 32 * i + 32, 32 * k : 32 * k + 32] @ b[32 * k : 32 * k + 32]
    torch.testing.assert_close(tiled_matmul(a, b, keep), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_does_not_count_is_never_seen(dtype):
    """Infinities and NaN in such a tile leave no trace, and the dtype is kept."""
    a, b, keep = drawn(3, 2, 3, 4, dtype)
    keep[:, 1] = False
    want = tiled_matmul(a, b, keep)
    a[:, 32:64] = torch.tensor([torch.inf, torch.nan], dtype=dtype).repeat(16)
    assert torch.equal(tiled_matmul(a, b, keep), want)
    assert want.dtype == dtype
