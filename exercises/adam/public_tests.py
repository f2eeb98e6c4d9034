"""Examples to run locally; the expected values follow from the formulas with pencil and paper."""

import numpy as np
import pytest
from grader.checkers import assert_close, assert_unchanged


@pytest.mark.points(1)
def test_two_steps_of_the_example(submission):
    """The statement's example ends at -3/4 and then at -137/84."""
    opt = submission.Adam([np.array([0.0])], lr=1.0, betas=(0.5, 0.75), eps=1.0)
    opt.step([np.array([3.0])])
    assert_close(opt.params, [np.array([-3 / 4])])
    opt.step([np.array([17.0])])
    assert_close(opt.params, [np.array([-137 / 84])])


@pytest.mark.points(1)
def test_first_step_has_the_size_of_lr(submission):
    """With the default betas the first step moves by almost exactly lr, whatever the gradient's size."""
    opt = submission.Adam([np.array([1.0, -2.0])], lr=0.1)
    opt.step([np.array([0.5, -4.0])])
    assert_close(opt.params, [np.array([0.900000002, -1.90000000025])])


@pytest.mark.points(1)
def test_weight_decay_joins_the_gradient(submission):
    """Coupled weight decay: the gradient is 1 + 0.5 * 2 = 2."""
    opt = submission.Adam([np.array(2.0)], lr=0.5, eps=2.0, weight_decay=0.5)
    opt.step([np.array(1.0)])
    assert_close(opt.params, [np.array(7 / 4)])


@pytest.mark.points(1)
def test_decoupled_weight_decay_shrinks_the_parameter(submission):
    """Decoupled weight decay: 2 shrinks to 1.5, and then the update takes 0.25."""
    opt = submission.Adam([np.array(2.0)], lr=0.5, eps=1.0, weight_decay=0.5, decoupled=True)
    opt.step([np.array(1.0)])
    assert_close(opt.params, [np.array(5 / 4)])


@pytest.mark.points(1)
def test_arrays_are_updated_in_place(submission):
    """The arrays that were given change themselves; the gradients do not."""
    held = [submission.hold(np.zeros((2, 3), np.float32)), submission.hold(np.array([4.0], np.float32))]
    opt = submission.Adam(held, lr=1.0, eps=1.0)
    opt.step([np.ones((2, 3), np.float32), np.array([3.0], np.float32)])
    assert_close(held[0].fetch(), np.full((2, 3), -1 / 2, np.float32))
    assert_close(held[1].fetch(), np.array([4 - 3 / 4], np.float32))
    assert_unchanged(submission)
