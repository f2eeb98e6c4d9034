"""Explanations: a known mistake is recognised by its values, anything else gets no sentence rather than a false one."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader import exercise as exercises
from grader import mistakes, wire
from grader.exercise import Wrong
from grader.mistakes import Coinciding, InProcess, choose, coinciding
from grader.session import Request

RIGHT = """
import numpy as np

def softmax(x, axis=-1):
    weights = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return weights / np.sum(weights, axis=axis, keepdims=True)

def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - np.sum(grad_output * output, axis=axis, keepdims=True))
"""


@pytest.fixture(scope="module")
def softmax():
    """Load the exercise softmax."""
    return exercises.load("softmax")


def requests():
    """Ask as a hidden test does: values and gradients of two dtypes, along both axes, and large scores."""
    rng = np.random.default_rng(0)
    asked = []
    for dtype in (np.float32, np.float64):
        for axis in (0, 1):
            x, g = rng.normal(size=(2, 4, 5)).astype(dtype)
            asked += [("softmax", [x], {"axis": axis}), ("softmax_backward", [g, abs(x)], {"axis": axis})]
    asked.append(("softmax", [rng.normal(size=(3, 4)) * 1e4], {}))
    return asked


def transcript(source, asked=None):
    """Answer the requests with `source`, as a sandbox would."""
    callee = InProcess(source.encode() if isinstance(source, str) else source)
    found = []
    with np.errstate(all="ignore"):
        for name, args, kwargs in asked or requests():
            header, values = {"op": "call", "target": {"name": name}}, {"args": args, "kwargs": kwargs}
            found.append(Request(header, values, callee.ask(header, values)))
    return found


def names(found):
    """Return the names of wrong files."""
    return [wrong.name for wrong in found]


def test_every_wrong_file_is_among_those_that_coincide_with_it(softmax):
    """Whatever a wrong file answers wrongly, it is recognised by; files that answer all of it right have no say."""
    recognised = 0
    right = transcript(RIGHT)
    for wrong in softmax.wrong:
        theirs = transcript(wrong.source.decode())
        found = names(coinciding(softmax, theirs))
        if any(isinstance(request.answer, wire.Failed) for request in theirs):
            assert found == []
            continue
        differs = any(
            not np.array_equal(one.answer, other.answer, equal_nan=True)
            and np.max(np.abs(one.answer - other.answer)) != 0
            for one, other in zip(theirs, right, strict=True)
            if one.answer.shape == other.answer.shape
        )
        assert differs or wrong.name not in found
        recognised += wrong.name in found
    assert recognised >= 15


def test_a_mistake_is_recognised_in_other_words(softmax):
    """The same mistake, computed in another way with other roundings, has the same explanation."""
    plain_gradient = RIGHT.replace("np.sum(grad_output * output, axis", "np.einsum('...->...', grad_output).sum(axis")
    assert "backward_sums_plain_gradient" in names(coinciding(softmax, transcript(plain_gradient)))
    over_everything = RIGHT.replace("np.max(x, axis=axis, keepdims=True)", "np.max(x)")
    over_everything = over_everything.replace("/ np.sum(weights, axis=axis, keepdims=True)", "* (1 / weights.sum())")
    assert "normalised_over_everything" in names(coinciding(softmax, transcript(over_everything)))


OTHERS = {
    "half": RIGHT.replace("return weights /", "return 0.5 * weights /"),
    "a temperature": RIGHT.replace("np.exp(x -", "np.exp(0.9 * x - 0.9 *"),
    "a power of two": RIGHT.replace("np.exp(", "np.exp2("),
    "a square": RIGHT.replace("return weights /", "return weights**2 /"),
    "reversed": RIGHT.replace("return weights / np", "return weights[::-1] / np"),
    "gradient doubled": RIGHT.replace("return output * (", "return 2 * output * ("),
    "gradient of squares": RIGHT.replace("grad_output * output, axis", "grad_output * output**2, axis"),
    "gradient shifted": RIGHT.replace("return output * (", "return 1e-3 + output * ("),
    "zeros": RIGHT + "\ndef softmax(x, axis=-1):\n    return x * 0\n",
    "ones": RIGHT + "\ndef softmax(x, axis=-1):\n    return x * 0 + 1\n",
    "NaN": RIGHT + "\ndef softmax(x, axis=-1):\n    return x * np.nan\n",
    "the input": RIGHT + "\ndef softmax(x, axis=-1):\n    return x * 1\n",
    "noise": RIGHT
    + "\ndef softmax(x, axis=-1):\n    return np.random.default_rng(0).random(x.shape).astype(x.dtype)\n",
}


@pytest.mark.parametrize("name", OTHERS)
def test_mistakes_that_are_not_known_get_no_explanation(softmax, name):
    """Other mistakes, fakes and noise: the search ends without a sentence."""
    found = {"test": coinciding(softmax, transcript(OTHERS[name]))}
    assert choose(found) == {}


@pytest.mark.parametrize("seed", range(20))
def test_two_mistakes_get_none_or_a_true_one(softmax, seed):
    """Answers spoiled twice coincide with no file; where only one of the two shows, its file is named."""
    rng = np.random.default_rng(seed)
    wrong = softmax.wrong[int(rng.integers(len(softmax.wrong)))]
    twice = wrong.source.decode() + (
        "\n_softmax, _backward = softmax, softmax_backward\n"
        "def softmax(x, axis=-1):\n    y = _softmax(x, axis=axis)\n    return y * y\n"
        "def softmax_backward(g, y, axis=-1):\n    return _backward(g, y, axis=axis) + y\n"
    )
    assert choose({"test": coinciding(softmax, transcript(twice))}) == {}


def test_a_right_file_coincides_with_none(softmax):
    """Right answers, also in float64 inside, are nobody's mistake."""
    inside = (
        RIGHT.replace("np.exp(x - np", "np.exp(x.astype(float) - np")
        .replace("keepdims=True)\n\n", "keepdims=True)).astype(x.dtype)\n\n")
        .replace("return weights /", "return (weights /")
    )
    for source in (RIGHT, inside):
        assert coinciding(softmax, transcript(source)) == []


def test_a_crash_and_a_broken_sandbox_explain_themselves(softmax):
    """An exception, a time-out and no request at all: no search is made."""
    crash = transcript("def softmax(x, axis=-1):\n    raise ValueError\n", requests()[:1])
    assert isinstance(crash[0].answer, wire.Failed)
    assert coinciding(softmax, crash) == []
    broken = [replace(transcript(RIGHT, requests()[:1])[0], answer=None, broken=True)]
    assert coinciding(softmax, broken) == []
    assert coinciding(softmax, []) == []


LOOP = """
def softmax(x, axis=-1):
    while True:
        try:
            pass
        except Exception:
            pass
"""


IN_DEL = """
import time

class Slow:
    def __del__(self):
        time.sleep(0.5)

Slow()
while True:
    pass
"""


@pytest.mark.parametrize("source", [LOOP, "while True:\n    pass\n", "import time\ntime.sleep(60)\n", IN_DEL])
def test_a_wrong_file_that_loops_does_not_stall_the_judge(softmax, source, monkeypatch):
    """It is broken off once, costs the search of that test, and is left out of the following ones."""
    monkeypatch.setattr(mistakes, "_SLOW", set())
    known = next(wrong for wrong in softmax.wrong if wrong.name == "normalised_over_everything")
    looping = Wrong("looping", Path("looping.py"), source.encode(), "Loops.", ("test_a",))
    theirs = transcript(known.source.decode())
    both = replace(softmax, wrong=(known, looping))
    started = time.monotonic()
    assert names(coinciding(both, theirs, seconds=0.5)) == [known.name]
    assert time.monotonic() - started < 5
    assert looping.path in mistakes._SLOW
    started = time.monotonic()
    assert names(coinciding(replace(softmax, wrong=(looping, known)), theirs, seconds=20.0)) == [known.name]
    assert time.monotonic() - started < 10


def test_a_file_that_cannot_be_loaded_explains_nothing(softmax):
    """A wrong file that raises while it is imported is passed over."""
    known = next(wrong for wrong in softmax.wrong if wrong.name == "normalised_over_everything")
    damaged = Wrong("damaged", Path("damaged.py"), b"raise SystemExit\n", "Damaged.", ("test_a",))
    theirs = transcript(known.source.decode())
    assert names(coinciding(replace(softmax, wrong=(damaged, known)), theirs)) == [known.name]


def test_a_file_that_never_coincides_is_tried_no_more(softmax):
    """After four failed tests; the one that coincides is found in every test."""
    known = next(wrong for wrong in softmax.wrong if wrong.name == "normalised_over_everything")
    theirs = transcript(known.source.decode())
    misses: Counter[str] = Counter()
    for _ in range(6):
        assert known.name in names(coinciding(softmax, theirs, misses))
    assert misses.pop(known.name) < 0
    assert set(misses.values()) == {4}


def made_up(name, *caught_by):
    """Make a wrong file of that name."""
    return Wrong(name, Path(f"{name}.py"), b"", f"Told {name}.", caught_by)


def sure(*found):
    """Make the outcome of a search whose answers say something."""
    out = Coinciding(found)
    out.telling = True
    return out


def test_the_mistake_that_explains_most_tests_is_chosen():
    """Of two that coincide in a test, the one that coincides elsewhere too, then the one that names the test."""
    one, two = made_up("one", "test_a"), made_up("two", "test_a", "test_b")
    assert choose({"test_a": sure(one, two), "test_b": sure(two)}) == {"test_a": "Told two.", "test_b": "Told two."}
    assert choose({"test_a": sure(one, two)}) == {"test_a": "Told one."}
    assert choose({"test_a": sure(), "test_b": sure()}) == {}
    assert choose({}) == {}


def test_zeros_and_nan_count_only_beside_better_evidence():
    """Answers that are nothing but zeros or NaN are explained where the same mistake explains another test."""
    one, two = made_up("one", "test_a"), made_up("two", "test_a")
    assert choose({"test_a": Coinciding([one, two])}) == {}
    assert choose({"test_a": Coinciding([one, two]), "test_b": sure(two)}) == {
        "test_a": "Told two.",
        "test_b": "Told two.",
    }
