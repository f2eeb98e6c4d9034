"""Drawing inputs: other memory layouts of equal arrays, values off kinks, values without ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grader.draw import away_from, distinct, layouts

ANY = st.one_of(
    [
        arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
        for dtype in (np.float32, np.float64, np.int64, np.bool_)
    ]
)


@given(ANY)
def test_layouts_are_equal_arrays(array):
    """Each layout has the values, shape and dtype of the array, and memory of its own."""
    for other in layouts(array):
        np.testing.assert_array_equal(other, array)
        assert other.dtype == array.dtype
        assert not np.shares_memory(other, array)


def test_layouts_differ_in_their_strides():
    """C order, Fortran order, reversed, gapped, turned: five kinds of strides for an array without axes of length 1."""
    array = np.arange(24.0).reshape(2, 3, 4)
    plain, fortran, reversed_, gapped, turned = layouts(array)
    assert plain.flags.c_contiguous
    assert fortran.flags.f_contiguous
    assert all(stride < 0 for stride in reversed_.strides)
    assert gapped.strides[-1] == 2 * array.itemsize
    assert len({array.strides for array in (plain, fortran, reversed_, gapped, turned)}) == 5


@pytest.mark.parametrize(("gap", "scale"), [(0.1, 1.0), (1e-3, 1.0), (5.0, 1.0), (1e-9, 1e-8), (10.0, 1e3)])
def test_values_stay_away_from_zero_on_both_sides(gap, scale):
    """No value is nearer to 0 than the gap, both signs occur, and what was outside the gap is untouched."""
    values = away_from(np.random.default_rng(1), (50, 40), gap, scale)
    plain = np.random.default_rng(1).normal(scale=scale, size=(50, 40))
    assert values.shape == (50, 40)
    assert np.min(np.abs(values)) >= gap
    assert np.array_equal(np.sign(values), np.sign(plain))
    assert np.array_equal(values[np.abs(plain) >= gap], plain[np.abs(plain) >= gap])
    assert np.max(np.abs(values)) <= max(2 * gap, np.max(np.abs(plain)))


def test_the_gap_may_be_left_out_or_empty():
    """A gap of 0 changes nothing, and shapes of no elements or no axes serve."""
    assert away_from(np.random.default_rng(2), (), 0.5).shape == ()
    assert away_from(np.random.default_rng(2), (0, 3), 0.5).shape == (0, 3)
    assert np.array_equal(away_from(np.random.default_rng(2), (9,), 0.0), np.random.default_rng(2).normal(size=9))


@given(st.integers(0, 2**32), st.sampled_from([(), (1,), (7,), (3, 5), (2, 3, 4)]), st.sampled_from([1e-6, 0.1, 3.0]))
def test_distinct_values_are_at_least_a_gap_apart(seed, shape, gap):
    """Sorted, neighbours differ by at least the gap; the order is random and the mean near 0."""
    values = distinct(np.random.default_rng(seed), shape, gap)
    assert np.shape(values) == shape
    assert np.all(np.diff(np.sort(np.ravel(values))) >= gap * (1 - 1e-9))
    assert abs(np.mean(values)) <= gap
