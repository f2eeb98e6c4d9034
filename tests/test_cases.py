"""Collecting the tests: pytest's names, in a form that the judge calls by itself, or nothing where only pytest can."""

import signal
import sys

import pytest

from grader import cases
from grader.verdict import Verdict

HEAD = "import numpy as np\nimport pytest\nfrom grader.checkers import assert_close\n\n\n"
DOUBLES = '''@pytest.mark.points(2)
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("factor", [2.0, pytest.param(0.5, id="half")])
def test_doubles(submission, reference, rng, size, factor):
    """Doubles."""
    x = rng.normal(size=size)
    assert_close(submission.double(x, factor=factor), reference.double(x, factor=factor))


def test_factor(submission, rng):
    """Takes a factor."""
    assert submission.double(rng.normal(size=2)).shape == (2,)
'''


def more(arguments="submission", mark="", body="pass"):
    """Write one more test."""
    return f'\n\n{mark}\ndef test_more({arguments}):\n    """More."""\n    {body}\n'


LEFT_TO_PYTEST = {
    "a fixture": "\n\n@pytest.fixture\ndef rng():\n    return np.random.default_rng(0)\n",
    "a fixture for all": "\n\n@pytest.fixture(autouse=True)\ndef quiet():\n    yield\n",
    "a setup": "\n\ndef setup_module():\n    pass\n",
    "a fixture of pytest's": more("submission, tmp_path"),
    "an unknown fixture": more("nothing"),
    "a mark": more(mark="@pytest.mark.skip"),
    "a mark of a case": more("n", '@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.xfail)])'),
    "no cases": more("n", '@pytest.mark.parametrize("n", [])'),
    "an indirect parameter": more("rng", '@pytest.mark.parametrize("rng", [1], indirect=True)'),
    "a hook": "\n\ndef pytest_generate_tests(metafunc):\n    pass\n",
    "a class": "\n\nclass TestMore:\n    def test_inside(self):\n        pass\n",
    "a coroutine": "\n\nasync def test_more():\n    pass\n",
    "a generator": more(body="yield"),
    "a file that cannot be imported": "\n\nimport no_such_module\n",
    "a file that exits": "\n\nraise SystemExit(0)\n",
    "a file that skips itself": "\n\npytest.skip('all', allow_module_level=True)\n",
    "an interrupt": "\n\nraise KeyboardInterrupt\n",
}


def hidden(end=""):
    """Return the hidden tests of a small exercise."""
    return {"hidden_tests.py": HEAD + DOUBLES + end}


def plain(exercise):
    """Collect hidden tests that the judge can call by itself."""
    found = cases.collect(exercise, "hidden")
    assert found is not None
    return found


def test_plain_cases_have_the_names_and_the_order_that_pytest_gives_them(make_exercise):
    """The names are what random numbers are drawn by: another name would be another judging."""
    found = plain(make_exercise(changes=hidden()))
    assert [case.name for case in found] == [
        "test_doubles[2.0-1]",
        "test_doubles[2.0-4]",
        "test_doubles[half-1]",
        "test_doubles[half-4]",
        "test_factor",
    ]
    assert [case.test for case in found] == ["test_doubles"] * 4 + ["test_factor"]
    first, *_, last = found
    assert (set(first.fixtures), first.params) == ({"submission", "reference", "rng"}, {"size": 1, "factor": 2.0})
    assert (last.fixtures, last.params) == (("submission", "rng"), {})


@pytest.mark.parametrize("what", LEFT_TO_PYTEST)
def test_what_is_not_plain_is_left_to_pytest(make_exercise, what):
    """Fixtures, marks, classes and hooks of its own, or what cannot be collected; the process goes on."""
    assert cases.collect(make_exercise(changes=hidden(LEFT_TO_PYTEST[what])), "hidden") is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_lost_while_tests_are_collected(make_exercise, monkeypatch, number):
    """What its handler raises ends the collection, and reaches who asked for it; the next one begins anew."""
    sends = f"\n\nimport os, sys\nif not hasattr(sys, 'ended'):\n    os.kill(os.getpid(), {int(number)})\n"
    exercise = make_exercise(changes=hidden(sends))
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            cases.collect(exercise, "hidden")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    monkeypatch.setattr(sys, "ended", True, raising=False)
    assert len(plain(exercise).cases) == 5


def test_files_of_two_exercises_do_not_mix(make_exercise):
    """All of them are called hidden_tests.py, and none of them stays where the next import would find it."""
    one = plain(make_exercise(changes=hidden(), name="one"))
    other = plain(make_exercise(name="other"))
    assert one.module.__file__ != other.module.__file__
    assert {case.function.__globals__["__file__"] for case in other} == {other.module.__file__}
    assert "hidden_tests" not in sys.modules


def test_a_process_collects_once_and_again_when_a_file_has_changed(make_exercise):
    """The exercise's version decides."""
    first = plain(make_exercise(changes=hidden()))
    assert plain(make_exercise(changes=hidden())) is first
    assert len(plain(make_exercise(changes=hidden(more()))).cases) == 6


@pytest.mark.parametrize("what", ["", "a fixture for all"])
def test_plain_cases_and_those_left_to_pytest_are_judged_alike(make_exercise, judged, right, what):
    """The same verdicts, points and messages, for what is right and for what is wrong."""
    exercise = make_exercise(changes=hidden(LEFT_TO_PYTEST.get(what, "")))
    report = judged(exercise, right["function"], seed="5" * 32)
    assert (report.verdict, report.score, report.usage.calls) == (Verdict.ACCEPTED, 3, 5)
    wrong = judged(exercise, b"def double(x, factor=2.0):\n    return 3 * x\n", seed="5" * 32)
    assert [test.verdict for test in wrong.tests] == [Verdict.WRONG_ANSWER, Verdict.ACCEPTED]
    assert "The answer of double is wrong" in wrong.tests[0].message


def test_a_fixture_of_the_files_own_is_used(make_exercise, judged, right):
    """One called `rng` takes the place of ours, as in any file of tests."""
    own = "\n\n@pytest.fixture\ndef rng():\n    raise AssertionError('the own one')\n"
    report = judged(make_exercise(changes=hidden(own)), right["function"])
    assert {test.message for test in report.tests} == {"the own one"}
