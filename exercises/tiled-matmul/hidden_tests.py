"""What a submission to `tiled-matmul` must satisfy."""

import pytest
import torch

from grader.checkers import assert_close, assert_unchanged

FLOAT32, FLOAT16, BFLOAT16 = torch.float32, torch.float16, torch.bfloat16
EVERY_DTYPE = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=["float32", "float16", "bfloat16"])


def draw(rng, rows, tiles, columns, dtype=FLOAT32):
    """Draw a (32 rows, 32 tiles) and b (32 tiles, columns), both standard normal."""
    shapes = (32 * rows, 32 * tiles), (32 * tiles, columns)
    return tuple(torch.from_numpy(rng.normal(size=shape)).to(dtype) for shape in shapes)


def draw_keep(rng, rows, tiles):
    """Draw which tiles count: in every row some do and, where it has room for both, some do not."""
    keep = torch.from_numpy(rng.random(size=(rows, tiles)) < 0.5)
    for row in range(rows):
        yes, no = rng.permutation(tiles)[:2] if tiles > 1 else (0, None)
        keep[row, int(yes)] = True
        if no is not None:
            keep[row, int(no)] = False
    return keep


def check(submission, reference, *args):
    """Check the product against the reference."""
    assert_close(submission.tiled_matmul(*args), reference.tiled_matmul(*args))


@pytest.mark.points(4)
@EVERY_DTYPE
@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 3, 17), (2, 1, 33), (3, 2, 64), (1, 5, 8)])
def test_all_tiles(submission, reference, rng, sizes, dtype):
    """Where all tiles count it is the plain product, for any number of tiles and columns."""
    rows, tiles, _ = sizes
    check(submission, reference, *draw(rng, *sizes, dtype), torch.ones(rows, tiles, dtype=torch.bool))


@pytest.mark.points(3)
@EVERY_DTYPE
@pytest.mark.parametrize("sizes", [(1, 4, 5), (3, 3, 19), (2, 5, 32), (4, 2, 7)])
def test_some_tiles(submission, reference, rng, sizes, dtype):
    """Only the tiles that count are summed."""
    check(submission, reference, *draw(rng, *sizes, dtype), draw_keep(rng, *sizes[:2]))


@pytest.mark.points(2)
@EVERY_DTYPE
def test_rows_without_tiles(submission, reference, rng, dtype):
    """A tile row of which nothing counts is 0; its neighbours are right."""
    for blind in ([0], [1], [2], [0, 2], [0, 1, 2]):
        keep = draw_keep(rng, 3, 3)
        keep[blind] = False
        check(submission, reference, *draw(rng, 3, 3, 11, dtype), keep)


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("junk", [float("inf"), float("-inf"), float("nan")])
def test_what_does_not_count_is_never_seen(submission, reference, rng, junk, dtype):
    """Tiles that do not count may hold anything, infinities and NaN included."""
    a, b = draw(rng, 2, 3, 13, dtype)
    keep = draw_keep(rng, 2, 3)
    want = reference.tiled_matmul(a, b, keep)
    spoilt = torch.where(keep.repeat_interleave(32, 0).repeat_interleave(32, 1), a, junk)
    assert_close(submission.tiled_matmul(spoilt, b, keep), want)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_any_memory_layout(submission, reference, rng, dtype):
    """Inputs may be transposed or sliced: only their values count."""
    (a, b), keep = draw(rng, 2, 3, 9, dtype), draw_keep(rng, 2, 3)
    want = reference.tiled_matmul(a, b, keep)
    for change in (
        lambda x: x.mT.contiguous().mT,
        lambda x: x.repeat_interleave(2, dim=1)[:, ::2],
        lambda x: x.repeat_interleave(2, dim=0)[::2],
    ):
        assert_close(submission.tiled_matmul(change(a), change(b), change(keep)), want)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_arguments_stay_unchanged(submission, reference, rng, dtype):
    """Neither matrix changes, nor which tiles count."""
    for sizes in ((2, 2, 5), (1, 3, 32)):
        check(submission, reference, *draw(rng, *sizes, dtype), draw_keep(rng, *sizes[:2]))
    assert_unchanged(submission)


@pytest.mark.points(2)
def test_speed(speed, rng):
    """Takes no more than three times as long as a dense product on large matrices."""
    on_gpu = speed.device == "cuda"
    speed(
        "tiled_matmul",
        lambda n: (speed.normal(n, n), speed.normal(n, n), speed.mask(n // 32, n // 32, share=0.25)),
        sizes=(2048, 4096, 8192) if on_gpu else (128, 256, 512),
        ratio=3 if on_gpu else 8,
        growth=3.3,
        traffic=lambda n: 8.0 * n * n,
    )
