"""Examples worked out by hand; `grader check attention` runs them."""

import math

import pytest
import torch

from grader.checkers import assert_close

NAMES = ("The gradient of query", "The gradient of key", "The gradient of value")
VALUE = [[4, 0, 8], [0, 4, 8]]


def doubles(values):
    """Return `values` as a float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def example():
    """Return query, key and value of the statement's example."""
    return doubles([[2 * math.log(3), 0, 0, 0]]), doubles([[1, 0, 0, 0], [0, 1, 0, 0]]), doubles(VALUE)


@pytest.mark.points(1)
def test_example_of_the_statement(submission):
    """The statement's example: scores are divided by sqrt(E), weights are 3/4 and 1/4."""
    assert_close(submission.attention(*example()), doubles([[3, 1, 8]]))


@pytest.mark.points(1)
def test_masks_of_the_example(submission):
    """The statement's example with a mask: one key, then no key."""
    assert_close(submission.attention(*example(), mask=torch.tensor([False, True])), doubles([[0, 4, 8]]))
    assert_close(submission.attention(*example(), mask=torch.tensor([False, False])), doubles([[0, 0, 0]]))


@pytest.mark.points(1)
def test_causal(submission):
    """Causal, queries of zeros: means over the keys up to the query's own place, with more queries than keys."""
    query, key = torch.zeros(4, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    output = submission.attention(query, key, doubles([[2], [4], [9]]), causal=True)
    assert_close(output, doubles([[2], [3], [5], [5]]))


@pytest.mark.points(1)
def test_gradients_with_a_row_without_keys(submission):
    """Gradients by autograd; the second query may look at no key."""
    mask = torch.tensor([[True, True], [False, False]])
    call = submission.attention.record(doubles([[0], [7]]), doubles([[1], [-1]]), doubles([[2], [4]]), mask=mask)
    assert_close(call.output, doubles([[3], [0]]))
    gradients = call.backward(torch.ones(2, 1, dtype=torch.float64))
    wanted = (doubles([[-1], [0]]), doubles([[0], [0]]), doubles([[0.5], [0.5]]))
    assert_close(gradients, wanted, names=NAMES)
