"""What a submission to `attention` must satisfy."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from grader.checkers import OracleError, assert_close, assert_gradients, assert_unchanged, tolerance
from grader.oracle import UNIT_ROUNDOFF

NAMES = ("The gradient of query", "The gradient of key", "The gradient of value")
MOST_DRAWS = 10
FLOAT32, FLOAT64, BFLOAT16 = torch.float32, torch.float64, torch.bfloat16
EVERY_DTYPE = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, BFLOAT16], ids=["float32", "float64", "bfloat16"])
BOTH_WIDTHS = pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=["float32", "float64"])


def normal(rng, *shape, dtype=FLOAT64):
    """Draw a standard normal tensor."""
    return torch.from_numpy(rng.normal(size=shape)).to(dtype)


def draw(rng, leading, sizes, dtype=FLOAT64):
    """Draw query (..., L, E), key (..., S, E) and value (..., S, V) for sizes (L, S, E, V)."""
    queries, keys, width, out = sizes
    return (
        normal(rng, *leading, queries, width, dtype=dtype),
        normal(rng, *leading, keys, width, dtype=dtype),
        normal(rng, *leading, keys, out, dtype=dtype),
    )


def draw_mask(rng, *shape):
    """Draw a bool mask (..., L or 1, S or 1): in every row some True and some False, where a row has room for both.

    The last query always sees the first two keys: where every query saw one key, the gradient in query would be 0 but
    for rounding, and nothing to compare with.
    """
    mask = rng.random(size=shape) < 0.6
    columns = shape[-1]
    if columns == 1:
        mask.flat[0], mask.flat[-1] = False, True
        return torch.from_numpy(mask)
    shown = rng.integers(columns, size=(*shape[:-1], 1))
    hidden = (shown + rng.integers(1, columns, size=shown.shape)) % columns
    for where, allowed in ((shown, True), (hidden, False)):
        np.put_along_axis(mask, where, allowed, axis=-1)
    if columns > 2:
        last = mask if mask.ndim == 1 else mask[..., -1, :]
        last[..., :2], last[..., 2] = True, False
    return torch.from_numpy(mask)


def blind_mask(rng, *shape):
    """Draw a bool mask that leaves at least one query without a key and at least one with."""
    mask = draw_mask(rng, *shape)
    blind = torch.from_numpy(rng.random(size=shape[:-1]) < 0.4)
    blind[..., 0], blind[..., -1] = True, False
    return mask & ~blind[..., None]


def check(submission, reference, *args, **options):
    """Check the output against the reference."""
    assert_close(submission.attention(*args, **options), reference.attention(*args, **options))


def level(expected, terms):
    """Hold a gradient to the scale of the whole tensor, and to no less than the rounding of the terms it is a sum of.

    A query that sees a single key has a gradient of exactly 0, and one whose weights are near 0 and 1 a tiny one, only
    because large terms cancel. The reference's own terms may cancel to the last bit; other honest formulas leave ulps
    of the terms' size, a quarter of which counts as loss: at most what half of the largest gradient is in bfloat16.
    """
    parts = {name: getattr(expected, name).reshape(-1) for name in ("want", "loss", "response")}
    rounding = UNIT_ROUNDOFF[expected.dtype] * terms.numpy().reshape(-1) / 4
    bounded = np.minimum(rounding, np.max(np.abs(expected.want)) / 32)
    return replace(expected, **parts | {"loss": np.maximum(parts["loss"], bounded)})


def sizes_of_terms(reference, query, key, value, cotangent, **options):
    """Return, for each gradient, the sum of the absolute terms it is made of, in float64.

    With p the weights, the gradient in score (i, j) is p_ij (g_i . v_j - sum over k of p_ik g_i . v_k).
    """
    query, key, value, cotangent = (tensor.double() for tensor in (query, key, value, cotangent))
    ones = torch.eye(key.shape[-2], dtype=FLOAT64).expand(*key.shape[:-1], key.shape[-2])
    weights = reference.exact.attention(query, key, ones, **options)
    products = cotangent.abs() @ value.abs().mT
    scores = weights * (products + (weights * products).sum(-1, keepdim=True)) / query.shape[-1] ** 0.5
    return scores @ key.abs(), scores.mT @ query.abs(), weights.mT @ cotangent.abs()


def draw_cotangent(reference, rng, wanted, *args, **options):
    """Draw a cotangent, and return it with the gradients wanted for it.

    In bfloat16 the few terms of a gradient may cancel by chance until little but their rounding is left (one time in
    3,000 for three queries), and the checker refuses to compare it: then another is drawn.
    """
    for _ in range(MOST_DRAWS):
        cotangent = torch.from_numpy(rng.normal(size=wanted.output.want.shape)).to(args[0].dtype)
        terms = sizes_of_terms(reference, *args, cotangent, **options)
        want = tuple(level(*pair) for pair in zip(wanted.backward(cotangent), terms, strict=True))
        with contextlib.suppress(OracleError):
            for gradient in want:
                tolerance(gradient)
            break
    return cotangent, want


def check_gradients(submission, reference, rng, *args, differences=True, **options):
    """Check the output, and the gradients in query, key and value against the reference and finite differences."""
    wanted = reference.attention.record(*args, **options)
    call = submission.attention.record(*args, **options)
    assert_close(call.output, wanted.output)
    cotangent, want = draw_cotangent(reference, rng, wanted, *args, **options)
    got = tuple(gradient.flatten() for gradient in call.backward(cotangent))
    if not differences:
        assert_close(got, want, names=NAMES)
        return

    def forward(*flat):
        pairs = zip(flat, args, strict=True)
        shaped = [torch.from_numpy(values).reshape(-1, *arg.shape) for values, arg in pairs]
        return reference.exact.attention(*shaped, **options)

    at = [arg.double().flatten() for arg in args]
    assert_gradients(got, want, forward=forward, at=at, cotangent=cotangent, rng=rng, names=NAMES, batched=True)


@pytest.mark.points(3)
@EVERY_DTYPE
@pytest.mark.parametrize("sizes", [(5, 7, 4, 3), (7, 5, 3, 11), (6, 6, 8, 8), (4, 13, 16, 5)])
def test_no_mask(submission, reference, rng, sizes, dtype):
    """Output without a mask: scaled by sqrt(E), with E, V, L and S all different."""
    check(submission, reference, *draw(rng, (), sizes, dtype))
    check(submission, reference, *draw(rng, (2,), sizes, dtype))


@pytest.mark.points(3)
@EVERY_DTYPE
@pytest.mark.parametrize("sizes", [(5, 7, 4, 3), (7, 4, 3, 9), (5, 5, 8, 8)])
def test_gradients(submission, reference, rng, sizes, dtype):
    """Gradients by autograd in query, key and value."""
    check_gradients(submission, reference, rng, *draw(rng, (2,), sizes, dtype))


@pytest.mark.points(1)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 3), (1, 1), (3, 1)])
def test_leading_dimensions(submission, reference, rng, leading):
    """No leading dimension, one or several: every matrix is attended to on its own."""
    check(submission, reference, *draw(rng, leading, (4, 3, 5, 2)))
    check(submission, reference, *draw(rng, leading, (3, 4, 2, 5)), causal=True)
    check(submission, reference, *draw(rng, leading, (3, 3, 3, 3)), mask=draw_mask(rng, *leading, 3, 3))


@pytest.mark.points(1)
@pytest.mark.parametrize("sizes", [(1, 5, 3, 2), (5, 1, 3, 2), (4, 5, 1, 2), (4, 5, 3, 1), (1, 1, 1, 1), (1, 1, 4, 3)])
def test_sizes_of_one(submission, reference, rng, sizes):
    """One query, one key, width one."""
    queries, keys, *_ = sizes
    for leading in ((), (1, 3)):
        check(submission, reference, *draw(rng, leading, sizes))
        check(submission, reference, *draw(rng, leading, sizes), causal=True)
        check(submission, reference, *draw(rng, leading, sizes), mask=draw_mask(rng, queries, keys), causal=True)


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("sizes", [(6, 6, 4, 3), (4, 7, 3, 5), (9, 5, 4, 2), (2, 8, 5, 3), (8, 2, 3, 4)])
def test_causal(submission, reference, rng, sizes, dtype):
    """Causal: query i sees keys up to i, with as many keys as queries, more, and fewer."""
    check(submission, reference, *draw(rng, (2,), sizes, dtype), causal=True)
    if dtype != BFLOAT16:
        check_gradients(submission, reference, rng, *draw(rng, (), sizes, dtype), causal=True)


@pytest.mark.points(2)
@EVERY_DTYPE
def test_mask(submission, reference, rng, dtype):
    """A mask of the scores' own shape: True lets a query look at a key."""
    for sizes in ((5, 7, 4, 3), (6, 6, 5, 4)):
        mask = draw_mask(rng, 2, *sizes[:2])
        check(submission, reference, *draw(rng, (2,), sizes, dtype), mask=mask)
        check_gradients(submission, reference, rng, *draw(rng, (2,), sizes, dtype), mask=mask)


@pytest.mark.points(2)
@pytest.mark.parametrize(
    "shape", [(5,), (1, 5), (5, 1), (1, 1), (5, 5), (3, 5, 5), (2, 1, 5, 5), (1, 3, 1, 5), (2, 3, 5, 1), (2, 1, 1, 5)]
)
def test_masks_that_broadcast(submission, reference, rng, shape):
    """A mask broadcasts to (..., L, S) from any shape that can."""
    # L = S = 5, so that a mask put on the wrong axis goes unnoticed by shape checks.
    for causal in (False, True):
        mask = draw_mask(rng, *shape)
        check(submission, reference, *draw(rng, (2, 3), (5, 5, 4, 3)), mask=mask, causal=causal)


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("sizes", [(6, 6, 4, 3), (4, 7, 3, 5), (7, 4, 5, 2)])
def test_causal_and_mask_together(submission, reference, rng, sizes, dtype):
    """With a mask and causal, a query looks only where both allow it."""
    mask = draw_mask(rng, *sizes[:2])
    mask[:, 0] = True
    check(submission, reference, *draw(rng, (2,), sizes, dtype), mask=mask, causal=True)
    if dtype != BFLOAT16:
        check_gradients(submission, reference, rng, *draw(rng, (), sizes, dtype), mask=mask, causal=True)


@pytest.mark.points(3)
@EVERY_DTYPE
def test_queries_without_keys(submission, reference, rng, dtype):
    """A query that may look at no key gets zeros, whether by mask alone or by mask and causal together."""
    check(submission, reference, *draw(rng, (2,), (5, 7, 4, 3), dtype), mask=blind_mask(rng, 5, 7))
    check(submission, reference, *draw(rng, (2,), (6, 6, 3, 4), dtype), mask=blind_mask(rng, 2, 6, 6))
    check(submission, reference, *draw(rng, (2,), (5, 4, 3, 4), dtype), mask=torch.zeros(5, 4, dtype=torch.bool))
    check(submission, reference, *draw(rng, (), (4, 5, 3, 4), dtype), mask=torch.zeros(5, dtype=torch.bool))
    every_second = torch.tensor([[True], [False], [True], [False]])
    check(submission, reference, *draw(rng, (), (4, 5, 3, 4), dtype), mask=every_second)
    late = torch.tensor([False, False, True, True, True])
    check(submission, reference, *draw(rng, (2,), (5, 5, 4, 3), dtype), mask=late, causal=True)


@pytest.mark.points(3)
@EVERY_DTYPE
def test_gradients_of_queries_without_keys(submission, reference, rng, dtype):
    """A query that may look at no key has a zero gradient, and every other gradient is finite and right."""
    check_gradients(submission, reference, rng, *draw(rng, (2,), (5, 7, 4, 3), dtype), mask=blind_mask(rng, 5, 7))
    nobody = torch.zeros(3, 4, dtype=torch.bool)
    check_gradients(submission, reference, rng, *draw(rng, (), (3, 4, 2, 3), dtype), mask=nobody)
    late = torch.tensor([False, False, True, True, True])
    check_gradients(submission, reference, rng, *draw(rng, (), (5, 5, 4, 3), dtype), mask=late, causal=True)


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("gain", [2.0**8, 2.0**12, 2.0**16])
def test_scores_far_apart(submission, reference, rng, gain, dtype):
    """Scores of hundreds to hundreds of thousands, of either sign, within a row: nothing overflows."""
    # Each query looks at one feature, whose values differ from key to key. The scores are whole multiples of gain / 2,
    # exact in every dtype, so that one key wins beyond doubt, in bfloat16 too.
    for causal in (False, True):
        features = np.stack([rng.permutation(7) - 3.0 for _ in range(8)])
        key = torch.from_numpy(features.reshape(2, 4, 7)).mT.to(dtype)
        chosen = gain * rng.choice([-1.0, 1.0], size=(2, 5, 1)) * np.eye(4)[rng.integers(4, size=(2, 5))]
        query = torch.from_numpy(chosen).to(dtype)
        check(submission, reference, query, key, normal(rng, 2, 7, 3, dtype=dtype), causal=causal)


@pytest.mark.points(2)
@BOTH_WIDTHS
@pytest.mark.parametrize("size", [1000.0, -1000.0, 30000.0, -30000.0])
def test_scores_with_a_large_common_part(submission, reference, rng, size, dtype):
    """Rows whose scores are all very large or all very negative: only their differences count, also in gradients."""
    query, key, value = draw(rng, (2,), (5, 6, 4, 3), dtype)
    query[..., 0] = size
    query[:, 1, 0] = 0
    query[:, 2, 0] = -size
    key[..., 0] = 1
    check(submission, reference, query, key, value)
    # Finite differences would need steps far smaller than 1 / size; the reference alone decides here.
    mask = draw_mask(rng, 5, 6)
    check_gradients(submission, reference, rng, query, key, value, mask=mask, differences=False)


@pytest.mark.points(2)
@EVERY_DTYPE
@pytest.mark.parametrize("size", [2.0**10, 2.0**17, 2.0**37])
def test_hidden_keys_with_extreme_scores(submission, reference, rng, size, dtype):
    """A key that is not allowed has weight 0, however far its score lies above or below the allowed ones."""
    visible = torch.tensor([True, False, True, True, False, True])
    for above in (1.0, -1.0):
        query, key, value = draw(rng, (2,), (5, 6, 4, 3), dtype)
        # Allowed scores of order one, hidden ones far above or far below.
        query[..., 0], key[..., 0] = 1, torch.where(visible, 0.0, above * size).to(dtype)
        check(submission, reference, query, key, value, mask=visible)
        if dtype != BFLOAT16:
            check_gradients(submission, reference, rng, query, key, value, mask=visible, differences=False)
        # Hidden scores of order one, the allowed ones far below or far above; one allowed key wins by far.
        query, key = torch.zeros_like(query), torch.zeros_like(key)
        query[..., 0] = 1
        key[..., 0] = torch.tensor([above * size, 0.0, 4 * above * size, 2 * above * size, 1.0, 8 * above * size])
        check(submission, reference, query, key, value, mask=visible)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_causal_hides_extreme_scores(submission, reference, rng, dtype):
    """Later keys have no weight under causal, however large their scores are."""
    query, key, value = draw(rng, (2,), (6, 6, 4, 3), dtype)
    query[..., 0] = 1
    key[..., 0] = torch.tensor([0, 0, 0, 2048.0, 4096.0, 8192.0])
    check(submission, reference, query, key, value, causal=True)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_any_memory_layout(submission, reference, rng, dtype):
    """Inputs may be transposed, sliced or expanded: only their values count."""
    query, key, value = draw(rng, (2, 3), (5, 7, 4, 3), dtype)
    mask = draw_mask(rng, 5, 7)
    want = reference.attention(query, key, value, mask=mask)
    transposed = [tensor.mT.contiguous().mT for tensor in (query, key, value)]
    gapped = [tensor.repeat_interleave(2, dim=-1)[..., ::2] for tensor in (query, key, value)]
    swapped = [tensor.transpose(0, 2).contiguous().transpose(0, 2) for tensor in (query, key, value)]
    for args in (transposed, gapped, swapped):
        assert_close(submission.attention(*args, mask=mask.mT.contiguous().mT), want)
    if dtype != BFLOAT16:
        check_gradients(submission, reference, rng, *transposed, mask=mask)
    shared = (query, key[:, :1].expand(2, 3, 7, 4), value[:1].expand(2, 3, 7, 3))
    check(submission, reference, *shared, mask=mask[:1].expand(5, 7), causal=True)


@pytest.mark.points(1)
@EVERY_DTYPE
def test_arguments_stay_unchanged(submission, reference, rng, dtype):
    """No argument changes: neither query, key and value nor the mask."""
    for causal in (False, True):
        check(submission, reference, *draw(rng, (2,), (5, 5, 4, 3), dtype), causal=causal)
        check(submission, reference, *draw(rng, (2,), (5, 5, 4, 3), dtype), mask=draw_mask(rng, 2, 5, 5), causal=causal)
        check(submission, reference, *draw(rng, (), (5, 5, 1, 3), dtype), mask=blind_mask(rng, 5, 5), causal=causal)
    assert_unchanged(submission)


@pytest.mark.points(2)
@pytest.mark.parametrize("causal", [False, True])
def test_larger_input(submission, reference, rng, causal):
    """Twelve heads, about a hundred queries and more keys, with a mask."""
    mask = torch.from_numpy(rng.random(size=(3, 1, 97, 131)) < 0.7)
    mask[:, :, ::10] = False
    check(submission, reference, *draw(rng, (3, 4), (97, 131, 32, 24), FLOAT32), mask=mask, causal=causal)


@pytest.mark.points(1)
def test_speed(speed, rng):
    """Keeps within a multiple of the reference's time and memory on long sequences, with the gradients."""

    def arrays(n):
        mask = torch.from_numpy(rng.random(size=(n, n)) < 0.7)
        return *draw(rng, (16,), (n, n, 16, 16), FLOAT32), mask, normal(rng, 16, n, 16, dtype=FLOAT32)

    def both(module, query, key, value, mask, cotangent):
        call = module.attention.record(query, key, value, mask=mask, causal=True)
        return call.output, call.backward(cotangent)

    speed("attention", arrays, call=both, sizes=(32, 64, 128), ratio=12, growth=2.7, memory=8)
