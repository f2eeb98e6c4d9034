"""Patterns: where something is wrong and in which way is said in words, whatever the arrays are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grader.patterns import describe

WANT = np.random.default_rng(0).normal(size=(4, 4))


def at(shape, *where):
    """Mark an index or slice of an array of `shape`."""
    wrong = np.zeros(shape, bool)
    for index in where:
        wrong[index] = True
    return wrong


ALL = slice(None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (at((), ()), "its only element"),
        (at((3,), ALL), "every element"),
        (at((5, 12), 4), "12 of 60 elements (20 %), all in the last row"),
        (at((5, 12), 0), "12 of 60 elements (20 %), all in the first row"),
        (at((5, 12), (ALL, 3)), "5 of 60 elements (8 %), all in column 3"),
        (at((5, 12), (ALL, -1)), "5 of 60 elements (8 %), all in the last column"),
        (at((5, 12), (3, slice(2, 9))), "7 of 60 elements (12 %), all in row 3"),
        (at((2, 3, 4), (ALL, 1)), "8 of 24 elements (33 %), all at index 1 of axis 1"),
        (at((5, 12), (2, 7)), "1 of 60 elements (2 %), at index [2, 7]"),
        (at((200, 100), (2, 7)), "1 of 20000 elements (under 1 %), at index [2, 7]"),
        (at((7,), 2), "1 of 7 elements (14 %), at index [2]"),
        (at((1000,), slice(1, None)), "999 of 1000 elements (99 %)"),
        (at((4, 5), 0, -1, (ALL, 0), (ALL, -1)), "14 of 20 elements (70 %), all at the border"),
        (at((2, 4, 5), (ALL, 0), (ALL, -1)), "20 of 40 elements (50 %), all at the border of the last two axes"),
        (np.triu(np.ones((4, 4), bool), 1), "6 of 16 elements (38 %), all above the diagonal"),
        (np.tril(np.ones((4, 4), bool), -1), "6 of 16 elements (38 %), all below the diagonal"),
        (np.eye(4, dtype=bool), "4 of 16 elements (25 %), all on the diagonal"),
        (at((4, 4), (0, 1), (2, 2), (1, 3)), "3 of 16 elements (19 %)"),
    ],
)
def test_the_place_is_named(wrong, said):
    """Rows, columns, single elements, borders and triangles have names; a scatter has only its count."""
    assert describe(wrong) == said


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (WANT * 0, "the answer is zero everywhere"),
        (WANT * 0 + 3, "the answer has the same value everywhere"),
        (-WANT, "the sign is turned around"),
        (2 * WANT, "it is 2 times what it should be"),
        (WANT / 3, "it is 0.3333 times what it should be"),
        (-0.5 * WANT, "it is -0.5 times what it should be"),
        (WANT + 7, "it is off by the same amount everywhere"),
        (WANT.T, "it is the transpose of what it should be"),
        (WANT[::-1], "it runs backwards along axis 0"),
        (WANT[:, ::-1], "it runs backwards along axis 1"),
        (np.roll(WANT, 1, 0), "it is shifted by one along axis 0"),
        (np.roll(WANT, -1, 1), "it is shifted by one along axis 1"),
        (WANT**2, ""),
        (np.sort(WANT, axis=None).reshape(4, 4), ""),
    ],
)
def test_the_relation_is_named(got, said):
    """Zeros, constants, sign, factor, offset, transpose, reversal and shift are recognised, others are not invented."""
    text = describe(np.ones((4, 4), bool), got, WANT, np.full((4, 4), 1e-12))
    assert text == ("every element; " + said if said else "every element")


def test_stacks_and_vectors_have_their_own_words():
    """A stack of matrices is transposed in its last two axes; a vector has no axis to name."""
    stack = np.random.default_rng(1).normal(size=(2, 3, 3))
    wrong, allowed = np.ones(stack.shape, bool), np.full(stack.shape, 1e-12)
    said = "it is the transpose of what it should be, in the last two axes"
    assert describe(wrong, stack.swapaxes(1, 2), stack, allowed).endswith(said)
    row = np.array([1.0, 5.0, 2.0])
    assert describe(np.ones(3, bool), row[::-1], row, np.full(3, 1e-12)).endswith("; it runs backwards")


def test_a_relation_needs_to_hold_everywhere():
    """One element that does not fit, and the factor is not claimed."""
    got = 2 * WANT
    got[1, 2] += 0.1
    assert describe(np.ones((4, 4), bool), got, WANT, np.full((4, 4), 1e-12)) == "every element"


SPECIAL = st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e308, -1e308, 5e-324, np.inf, -np.inf, np.nan])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def three(shape):
    """Draw got, want and wrong of one shape."""
    numbers = arrays.arrays(float, shape, elements=SPECIAL)
    return st.tuples(numbers, numbers, arrays.arrays(bool, shape))


@given(SHAPES.flatmap(three))
def test_nothing_makes_it_fail(drawn):
    """Empty, 0-d, infinite and NaN arrays get a text like all others."""
    got, want, wrong = drawn
    for allowed in (np.zeros(want.shape), np.full(want.shape, 1e-9), np.full(want.shape, np.inf)):
        assert describe(wrong, got, want, allowed)
    assert describe(wrong)
