"""Examples worked out by hand; `grader check tiled-matmul` runs them, on a GPU."""

import pytest
import torch

from grader.checkers import assert_close


@pytest.mark.points(1)
def test_example_of_the_statement(submission):
    """The statement's example: 64 where both tiles count, 32 where one does."""
    keep = torch.tensor([[True, True], [False, True]])
    c = submission.tiled_matmul(torch.ones(64, 64), torch.ones(64, 1), keep)
    assert_close(c, torch.tensor([64.0, 32.0]).repeat_interleave(32)[:, None])


@pytest.mark.points(1)
def test_the_identity(submission):
    """One tile, the identity: the result is b."""
    b = torch.arange(96.0).reshape(32, 3)
    assert_close(submission.tiled_matmul(torch.eye(32), b, torch.tensor([[True]])), b)


@pytest.mark.points(1)
def test_nothing_counts(submission):
    """No tile counts, whatever is in it: the result is 0."""
    a = torch.full((32, 64), torch.inf)
    assert_close(submission.tiled_matmul(a, torch.ones(64, 2), torch.tensor([[False, False]])), torch.zeros(32, 2))
