"""What a submission to `fused-softmax` must satisfy."""

import numpy as np
import pytest
import torch

from grader.checkers import assert_close, assert_unchanged

FLOAT32, FLOAT16, BFLOAT16 = torch.float32, torch.float16, torch.bfloat16
EVERY_DTYPE = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=["float32", "float16", "bfloat16"])


def normal(rng, *shape, dtype=FLOAT32, size=1.0):
    """Draw a normal tensor."""
    return torch.from_numpy(size * rng.normal(size=shape)).to(dtype)


def check(submission, reference, *args, **options):
    """Check the probabilities against the reference."""
    assert_close(submission.fused_softmax(*args, **options), reference.fused_softmax(*args, **options))


@pytest.mark.points(4)
@EVERY_DTYPE
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 7), (5, 33), (64, 64), (13, 100), (7, 257), (3, 1031)])
def test_matches_the_definition(submission, reference, rng, shape, dtype):
    """Agrees with the definition for any number of rows and columns."""
    check(submission, reference, normal(rng, *shape, dtype=dtype), normal(rng, shape[1], dtype=dtype))


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("scale", [0.125, 3.0, -2.0, 0.0])
def test_bias_and_scale(submission, reference, rng, scale, dtype):
    """The scale multiplies the scores and not the bias; it may be negative or zero."""
    check(submission, reference, normal(rng, 6, 45, dtype=dtype), normal(rng, 45, dtype=dtype, size=2.0), scale=scale)


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("size", [2.0**6, 2.0**9, 2.0**11])
def test_scores_far_apart(submission, reference, rng, size, dtype):
    """Scores of hundreds to tens of thousands, of either sign, within a row: nothing overflows."""
    # Whole multiples of `size`, exact in every dtype: one column wins beyond doubt.
    steps = np.stack([rng.permutation(41) - 20.0 for _ in range(5)])
    steps[1] += 5
    steps[2] -= 5
    check(submission, reference, torch.from_numpy(size * steps).to(dtype), torch.zeros(41, dtype=dtype))
    check(submission, reference, torch.from_numpy(steps).to(dtype), normal(rng, 41, dtype=dtype), scale=size)


@pytest.mark.points(2)
@pytest.mark.parametrize("size", [100.0, 1000.0, 20000.0])
def test_a_large_common_part(submission, reference, rng, size):
    """Rows whose scores are all very large or all very negative, and all alike: only differences count."""
    x = normal(rng, 6, 50)
    x[0] += size
    x[1] -= size
    x[2:4] += size * torch.tensor([[0.5], [-0.5]])
    check(submission, reference, x, normal(rng, 50))
    alike = torch.full((4, 37), size)
    alike[2:] = -size
    check(submission, reference, alike, torch.zeros(37))


@pytest.mark.points(2)
@EVERY_DTYPE
def test_hidden_columns(submission, reference, rng, dtype):
    """A column with a very low bias has probability 0, at the beginning, at the end, all but one."""
    low = -6e4 if dtype == FLOAT16 else -1e30
    for hidden in (slice(0, 1), slice(-1, None), slice(1, None, 2), slice(3, None)):
        bias = normal(rng, 41, dtype=dtype)
        bias[hidden] = low
        check(submission, reference, normal(rng, 5, 41, dtype=dtype, size=3.0), bias)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_any_memory_layout(submission, reference, rng, dtype):
    """Inputs may be transposed or sliced: only their values count."""
    x, bias = normal(rng, 11, 35, dtype=dtype), normal(rng, 35, dtype=dtype)
    want = reference.fused_softmax(x, bias)
    transposed = x.mT.contiguous().mT
    gapped = x.repeat_interleave(2, dim=-1)[..., ::2]
    rows = x.repeat_interleave(3, dim=0)[::3]
    for other in (transposed, gapped, rows):
        assert_close(submission.fused_softmax(other, bias), want)
    assert_close(submission.fused_softmax(x, bias.repeat_interleave(2)[::2]), want)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_arguments_stay_unchanged(submission, reference, rng, dtype):
    """Neither the scores nor the bias change."""
    for shape in ((4, 9), (1, 64)):
        x, bias = normal(rng, *shape, dtype=dtype), normal(rng, shape[1], dtype=dtype)
        check(submission, reference, x, bias, scale=0.5)
    assert_unchanged(submission)


@pytest.mark.points(2)
def test_speed(speed, rng):
    """Takes no more than three times as long as plain operations on large matrices."""
    sizes = (128, 256, 512) if speed.device == "cpu" else (4096, 8192, 16384)
    speed(
        "fused_softmax",
        lambda n: (speed.normal(n, n), speed.normal(n), 0.5),
        sizes=sizes,
        ratio=3 if speed.device == "cuda" else 8,
        growth=2.7,
        flops=lambda n: 5.0 * n * n,
        traffic=lambda n: 8.0 * n * n,
    )
