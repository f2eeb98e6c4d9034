"""Hidden tests: values and gradients."""

import pytest
import torch
from grader.checkers import assert_autograd


@pytest.mark.points(2)
def test_softmax(submission, reference, rng):
    """Agrees with the definition, and so do its gradients."""
    assert_autograd(submission.softmax, reference.softmax, torch.from_numpy(rng.normal(size=(3, 5))), rng=rng)
