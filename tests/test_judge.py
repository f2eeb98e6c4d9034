"""The judge: accepted only when every test ran and passed, replayable, and never hung, whatever fails."""

import hmac
import os
import signal
import time

import numpy as np
import pytest

from grader import judge
from grader.job import Job
from grader.suite import generator
from grader.verdict import Verdict

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

SEED = "0123456789abcdef0123456789abcdef"
HEAD = '"""Hidden tests."""\nimport numpy as np\nimport pytest\nfrom grader.checkers import assert_close\n'


def hidden(*tests):
    """Write a hidden_tests.py."""
    return {"hidden_tests.py": "\n\n".join([HEAD, *tests]) + "\n"}


def titled(name, *body, mark="", fixtures="submission"):
    """Write one test function with a title."""
    lines = "".join(f"    {line}\n" for line in body)
    return f'{mark}\ndef {name}({fixtures}):\n    """Title of {name}."""\n{lines}'


PASSES = titled("test_passes", "assert_close(submission.double(np.ones(3)), np.full(3, 2.0))")


# --- random numbers


def test_the_numbers_of_a_case_are_philoxs_with_a_key_of_secret_seed_and_case(make_exercise):
    """The same as NumPy's own way to give the key, so that a replay years later can draw them too."""
    job = Job(b"", SEED, b"secret", [])
    digest = hmac.digest(b"secret", f"{SEED}\0double\0test_a[1]".encode(), "sha256")
    oracle = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    drawn = generator(job, make_exercise(), "test_a[1]")
    assert drawn.random(5).tolist() == oracle.random(5).tolist()
    assert drawn.integers(100, size=7).tolist() == oracle.integers(100, size=7).tolist()


# --- accepted means that every test ran and passed


def test_a_right_submission_is_accepted_with_all_points(make_exercise, judged, right):
    """Every test has its title, its points, and no message; the report says what it was judged with."""
    exercise = make_exercise()
    report = judged(exercise, right["function"], seed=SEED)
    assert report.verdict is Verdict.ACCEPTED
    assert (report.score, report.max_score) == (3.0, 3.0)
    assert [(test.name, test.title, test.points) for test in report.tests] == [
        ("test_doubles", "Doubles every element.", 2.0),
        ("test_factor", "Uses the factor.", 1.0),
    ]
    assert [test.message for test in report.tests] == ["", ""]
    assert (report.exercise, report.exercise_version, report.suite) == ("double", exercise.version, "hidden")
    assert (report.seed, report.environment.engine) == (SEED, "local")
    assert report.environment.python
    assert report.environment.numpy
    assert (report.usage.calls, report.usage.sandboxes) == (3, 1)
    assert report.usage.wall_seconds > 0


@pytest.mark.parametrize("kind", ["class", "torch"])
def test_classes_and_pytorch_are_judged_like_functions(make_exercise, judged, right, kind):
    """The small exercises of the other kinds accept what is right and reject each wrong file."""
    exercise = make_exercise(kind)
    assert judged(exercise, right[kind]).verdict is Verdict.ACCEPTED
    assert judged(exercise, exercise.wrong[0].source).verdict is Verdict.WRONG_ANSWER


NOT_A_PASS = {
    "a skip": titled("test_other", "pytest.skip('later')"),
    "a mark that skips": titled("test_other", "pass", mark="@pytest.mark.skip"),
    "a condition that skips": titled("test_other", "pass", mark="@pytest.mark.skipif(True, reason='why not')"),
    "importorskip": titled("test_other", "pytest.importorskip('no_such_module')"),
    "an expected failure": titled("test_other", "pytest.xfail('known')"),
    "a mark that expects failure": titled("test_other", "raise ValueError", mark="@pytest.mark.xfail"),
    "a test that is not run": titled("test_other", "pass", mark="@pytest.mark.xfail(run=False)"),
    "no cases": titled("test_other", "pass", mark="@pytest.mark.parametrize('n', [])", fixtures="submission, n"),
    "an unknown fixture": titled("test_other", "pass", fixtures="submission, nothing"),
    "an unknown mark": titled("test_other", "pass", mark="@pytest.mark.slow"),
    "a plugin's fixture": titled("test_other", "pass", fixtures="submission, cache"),
    "an exception": titled("test_other", "1 / 0"),
    "an exit": titled("test_other", "raise SystemExit(0)"),
    "an interrupt": titled("test_other", "raise KeyboardInterrupt"),
    "pytest.exit": titled("test_other", "pytest.exit('done', 0)"),
    "a test that is taken away": titled("test_other", "pass") + "\n\ndel test_other",
    "a test in a class": titled("test_other", "pass")
    + '\n\nclass TestMore:\n    def test_inside(self):\n        """Title."""\n',
    "a coroutine": titled("test_other", "pass")
    + '\n\nasync def test_later(submission):\n    """Title."""\n    assert False\n',
    "a file that cannot be imported": titled("test_other", "pass") + "\n\nimport no_such_module",
    "a file that exits": titled("test_other", "pass") + "\n\nraise SystemExit(0)",
    "a file that skips itself": titled("test_other", "pass") + "\n\npytest.skip('all', allow_module_level=True)",
    "a setup that fails": titled("test_other", "pass")
    + "\n\n@pytest.fixture(autouse=True)\ndef broken():\n    raise ValueError\n",
    "an end that fails": titled("test_other", "pass")
    + "\n\n@pytest.fixture(autouse=True)\ndef broken():\n    yield\n    raise ValueError\n",
    "an undeclared function": titled("test_other", "submission.triple(1)"),
    "an argument that cannot cross": titled("test_other", "submission.double(object())"),
}


@pytest.mark.parametrize("name", NOT_A_PASS)
def test_a_test_that_does_not_run_to_its_end_is_our_fault(make_exercise, judged, right, name):
    """Skips, missing outcomes and exceptions of ours: internal_error with a log, no score, and nothing of it shown."""
    report = judged(make_exercise(changes=hidden(PASSES, NOT_A_PASS[name]) | NO_WRONG), right["function"], seed=SEED)
    assert report.verdict is Verdict.INTERNAL_ERROR
    assert report.log
    assert report.score == 0
    assert report.seed == SEED
    assert report.message == "The grader failed; this is our fault and uses no attempt."
    assert all("Error" not in test.message for test in report.tests)


NO_WRONG = {
    f"wrong/{name}.py": f'"""Wrong.\n\nCaught by test_passes.\n"""\n\n\n{code}\n'
    for name, code in {
        "three": "def double(x, factor=2.0):\n    return 3.0 * x",
        "no_factor": "def double(x, factor=2.0):\n    return 2.0 * x",
        "negative": "def double(x, factor=2.0):\n    return -factor * x",
    }.items()
}


def test_a_test_that_swallows_a_broken_sandbox_does_not_pass(make_exercise, judged):
    """A hidden test may catch what the proxy raises; the crash is counted all the same."""
    test = titled("test_other", "try:", "    submission.double(np.ones(2))", "except BaseException:", "    pass")
    source = (
        "import os\n\n\ndef double(x, factor=2.0):\n    if x.size == 2:\n        os._exit(0)\n    return factor * x\n"
    )
    report = judged(make_exercise(changes=hidden(PASSES, test) | NO_WRONG), source)
    assert [item.verdict for item in report.tests] == [Verdict.ACCEPTED, Verdict.RUNTIME_ERROR]
    assert report.verdict is Verdict.RUNTIME_ERROR


def test_a_plain_assertion_rejects_and_its_message_is_shown(make_exercise, judged, right):
    """`assert ..., "message"` in a hidden test is a wrong answer with that message; a bare assert shows nothing."""
    tests = [PASSES, titled("test_said", 'assert False, "Say it."'), titled("test_bare", "assert 123456 == 654321")]
    report = judged(make_exercise(changes=hidden(*tests) | NO_WRONG), right["function"])
    assert [test.message for test in report.tests] == ["", "Say it.", ""]
    assert report.verdict is Verdict.WRONG_ANSWER
    assert "123456" not in str(report)


# --- points, and the worst verdict


def test_points_are_all_or_nothing_for_each_test(make_exercise, judged):
    """One failing case takes the points of its test, and no others; the score is the sum."""
    source = "def double(x, factor=2.0):\n    return factor * x if x.size != 3 else x\n"
    report = judged(make_exercise(), source)
    assert [(test.points, test.max_points) for test in report.tests] == [(0.0, 2.0), (1.0, 1.0)]
    assert (report.score, report.max_score, report.verdict) == (1.0, 3.0, Verdict.WRONG_ANSWER)


def test_a_test_without_a_mark_is_worth_one_point(make_exercise, judged, right):
    """`points` may be left out, and may be a fraction."""
    tests = [PASSES, titled("test_half", "pass", mark="@pytest.mark.points(0.5)")]
    report = judged(make_exercise(changes=hidden(*tests) | NO_WRONG), right["function"])
    assert [test.max_points for test in report.tests] == [1.0, 0.5]
    assert report.score == 1.5


def test_the_report_has_the_worst_verdict_of_its_tests(make_exercise, judged):
    """A time-out weighs more than a wrong answer, whichever comes first."""
    source = "def double(x, factor=2.0):\n    while factor == 3.0:\n        pass\n    return -x\n"
    report = judged(make_exercise(), source)
    assert [test.verdict for test in report.tests] == [Verdict.WRONG_ANSWER, Verdict.TIME_LIMIT_EXCEEDED]
    assert report.verdict is Verdict.TIME_LIMIT_EXCEEDED


def test_bytes_sent_after_the_last_answer_cost_all_points(make_exercise, judged):
    """Who writes to the judge's channel has forged the rest too: protocol_violation and a score of 0."""
    source = """
import os


def double(x, factor=2.0):
    if factor == 3.0 and os.fork() == 0:
        for number in range(256):
            try:
                os.write(number, b"forged")
            except OSError:
                pass
        os._exit(0)
    if factor == 3.0:
        os.wait()
    return factor * x
"""
    report = judged(make_exercise(), source)
    assert report.verdict is Verdict.PROTOCOL_VIOLATION
    assert report.score < report.max_score


# --- replay


def messages(report):
    """Return what may not depend on anything but submission, exercise, seed and secret."""
    return [(test.name, test.verdict, test.points, test.message, test.explanation) for test in report.tests]


NOISY = "def double(x, factor=2.0):\n    return factor * x + 1e-3 * x.sum()\n"
TELLS = titled("test_passes", "raise AssertionError(str(rng.normal()))", fixtures="submission, rng")


def test_the_same_seed_gives_the_same_report(make_exercise, judged):
    """Judged again with its seed and secret, a submission gets the same verdicts, points and messages."""
    exercise = make_exercise()
    first, second = (judged(exercise, NOISY, seed=SEED, secret=b"key") for _ in range(2))
    assert messages(first) == messages(second)
    assert first.verdict is Verdict.WRONG_ANSWER


def test_seed_and_secret_both_key_the_inputs(make_exercise, judged, right):
    """Another seed or another secret draws other inputs; the seed alone, which a report shows, tells nothing."""
    exercise = make_exercise(changes=hidden(TELLS) | NO_WRONG)
    keys = [(SEED, b"a"), (SEED, b"a"), (SEED, b"b"), (SEED[::-1], b"a")]
    drawn = [judged(exercise, right["function"], seed=seed, secret=key).tests[0].message for seed, key in keys]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_every_judging_without_a_seed_gets_its_own(make_exercise, judged, right):
    """Fresh seeds are 128 random bits, and are in the report."""
    seeds = {judged(make_exercise(), right["function"]).seed for _ in range(2)}
    assert len(seeds) == 2
    assert all(len(seed) == 32 for seed in seeds)


def test_every_case_of_a_test_draws_inputs_of_its_own(make_exercise, judged, right):
    """`rng` depends on the case: two cases and two tests never share their numbers."""
    body = "raise AssertionError(str(rng.normal()))"
    tests = [titled(f"test_{name}", body, fixtures="submission, rng") for name in ("passes", "other")]
    report = judged(make_exercise(changes=hidden(*tests) | NO_WRONG), right["function"], seed=SEED)
    assert len({test.message for test in report.tests}) == 2


# --- nothing hidden is told

SECRETS = """
@pytest.mark.points(2)
def test_passes(submission, reference):
    \"\"\"Doubles.\"\"\"
    x = np.array([31337.25, 42424.5, -27182.75])
    assert_close(submission.double(x), reference.double(x))
"""
LEAKY = {
    "wrong values": "return x * 0",
    "other values": "return x * 3.5 + 1",
    "a wrong shape": "return x[:2]",
    "NaN": "return x * float('nan')",
    "an exception with the input": "raise ValueError(str(x.tolist()))",
    "an exception named after the input": "raise type('E' + str(int(x[0])), (Exception,), {})",
    "a type named after the input": "return type('T' + str(int(x[0])), (), {'__module__': 'builtins'})()",
    "a module named after the input": "return type('T', (), {'__module__': 'T' + str(int(x[0]))})()",
    "a list of types named after the input": "return [type('T' + str(int(v)), (), {'__module__': 'm'})() for v in x]",
    "an array of strings as long as the input": "return np.full(3, 'a' * int(x[0]))",
    "prints": "print(x)\n    raise KeyError(x[0])",
    "an assertion with the input": "assert not x.any(), x.tolist()",
    "a dict with the input as key": "return {str(x[0]): 1}",
    "a string of the input": "return str(x)",
}


@pytest.mark.parametrize("name", LEAKY)
def test_no_hidden_number_is_in_a_report(make_exercise, judged, name):
    """Whatever a failing submission tries to say of its inputs, neither they nor the right answers come out."""
    exercise = make_exercise(changes=hidden(SECRETS) | NO_WRONG)
    report = judged(exercise, f"import numpy as np\n\n\ndef double(x, factor=2.0):\n    {LEAKY[name]}\n")
    assert report.score == 0
    said = str([report.message, report.printed, report.tests])
    for secret in ("31337", "42424", "27182", "62674", "84849", "54365", "1002784"):
        assert secret not in said, said


def test_public_examples_show_values_and_prints(make_exercise, judged):
    """The public suite hides nothing: what was printed and what was expected are in the report."""
    source = "def double(x, factor=2.0):\n    print('seen', x[1])\n    return x\n"
    report = judged(make_exercise(), source, suite="public")
    assert (report.suite, report.verdict) == ("public", Verdict.WRONG_ANSWER)
    assert "seen 2.0" in report.printed
    assert "4." in report.tests[0].message


# --- sandboxes, deadlines, the child


def test_a_sandbox_is_replaced_after_a_crash(make_exercise, judged):
    """The tests after a crash run in a fresh sandbox, and keep their points."""
    source = (
        "import os\n\n\ndef double(x, factor=2.0):\n    if x.size == 1:\n        os._exit(1)\n    return factor * x\n"
    )
    report = judged(make_exercise(), source)
    assert [test.verdict for test in report.tests] == [Verdict.RUNTIME_ERROR, Verdict.ACCEPTED]
    assert report.usage.sandboxes == 2
    assert report.score == 1.0


def test_sandboxes_are_replaced_a_bounded_number_of_times(make_exercise, judged):
    """A submission that crashes in every test stops being run; what was not run says so, and has a verdict."""
    tests = [PASSES, *(PASSES.replace("test_passes", f"test_{n}") for n in range(7))]
    source = "import os\n\n\ndef double(x, factor=2.0):\n    os._exit(1)\n"
    report = judged(make_exercise(changes=hidden(*tests) | NO_WRONG), source)
    assert report.usage.sandboxes == 4
    assert {test.verdict for test in report.tests} == {Verdict.RUNTIME_ERROR}
    assert [test.message.startswith("Not run:") for test in report.tests] == [False] * 4 + [True] * 4


def test_all_tests_together_have_a_deadline(make_exercise, judged):
    """Calls that each stay below their limit still end when the judging's time is over; the rest is not run."""
    tests = [PASSES.replace("test_passes", f"test_{name}") for name in ("passes", *"abcdefghijklmn")]
    source = "import time\n\n\ndef double(x, factor=2.0):\n    time.sleep(0.4)\n    return factor * x\n"
    report = judged(make_exercise(changes=hidden(*tests) | NO_WRONG), source)
    assert report.verdict is Verdict.TIME_LIMIT_EXCEEDED
    assert report.usage.wall_seconds < 8
    assert report.tests[0].verdict is Verdict.ACCEPTED
    assert "All tests together took longer than 4 seconds" in "".join(test.message for test in report.tests)
    assert report.tests[-1].message == "Not run: all tests together took longer than 4 seconds."
    assert 0 < report.score < report.max_score


def test_the_judge_pays_for_its_own_time(make_exercise, judged, right):
    """A hidden test that is slow itself, longer than the whole judging may take, costs the submission nothing."""
    slow = titled("test_slow", "import time", "time.sleep(2.1)", "assert_close(submission.double(np.ones(1)), [2.0])")
    tests = [slow, slow.replace("test_slow", "test_slow_too"), PASSES]
    assert judged(make_exercise(changes=hidden(*tests) | NO_WRONG), right["function"]).verdict is Verdict.ACCEPTED


def test_state_of_one_test_does_not_reach_the_judge_of_another(make_exercise, judged, right):
    """Two judgings of one exercise in this process know nothing of each other."""
    exercise = make_exercise()
    assert judged(exercise, NOISY).verdict is Verdict.WRONG_ANSWER
    assert judged(exercise, right["function"]).verdict is Verdict.ACCEPTED


def test_several_judgings_run_at_once(make_exercise, right):
    """Judgings started together each give the report of their own source."""
    exercise = make_exercise()
    sources = [right["function"], NOISY.encode(), b"", right["function"]]
    processes = [judge.start(exercise) for _ in sources]
    try:
        pairs = zip(processes, sources, strict=True)
        reports = [process.run(source, seed=judge.new_seed()) for process, source in pairs]
    finally:
        for process in processes:
            process.close()
    verdicts = [report.verdict for report in reports]
    assert verdicts == [Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.IMPORT_ERROR, Verdict.ACCEPTED]


def test_phases_are_told_in_order(make_exercise, right):
    """The person who waits hears of the import, then of each test once."""
    phases: list[str] = []
    process = judge.start(make_exercise())
    try:
        process.run(right["function"], seed=SEED, on_phase=phases.append)
    finally:
        process.close()
    assert phases == ["importing your file", "test 1 of 2", "test 2 of 2"]


@pytest.mark.parametrize("before", [True, False])
def test_a_judge_that_is_killed_is_an_internal_error(make_exercise, right, before):
    """Losing the judge's process, before or in the judging, is a report of our fault at once, and no hang."""
    process = judge.start(make_exercise())
    started = time.monotonic()

    def kill(_phase=""):
        os.kill(process._pid, signal.SIGKILL)

    if before:
        kill()
    try:
        report = process.run(right["function"], seed=SEED, on_phase=kill)
    finally:
        process.close()
    assert report.verdict is Verdict.INTERNAL_ERROR
    assert "the judge's process ended" in report.log
    assert (report.seed, report.score, report.tests) == (SEED, 0.0, [])
    assert time.monotonic() - started < 10


def test_a_judging_that_is_called_off_leaves_nothing(make_exercise):
    """A judge that never gets a source ends when it is closed, twice if need be."""
    process = judge.start(make_exercise())
    process.close()
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process._pid, 0)


def test_files_beside_the_tests_are_not_loaded(make_exercise, judged, right):
    """A conftest.py, a pytest.ini and plugins in the environment have no say in a judging."""
    exercise = make_exercise()
    (exercise.folder / "conftest.py").write_text("raise SystemExit('loaded')\n")
    (exercise.folder.parent / "conftest.py").write_text("raise SystemExit('loaded')\n")
    (exercise.folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (exercise.folder / "pyproject.toml").write_text("[tool.pytest]\naddopts = ['--no-such-option']\n")
    assert judged(exercise, right["function"]).verdict is Verdict.ACCEPTED


def test_settings_for_pytest_in_the_environment_are_not_used(make_exercise, judged, right, monkeypatch):
    """PYTEST_ADDOPTS and PYTEST_PLUGINS of the person who judges change nothing."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    assert judged(make_exercise(), right["function"]).verdict is Verdict.ACCEPTED


def test_a_failure_is_explained_by_the_wrong_file_it_coincides_with(make_exercise, judged):
    """The sentence of wrong/three.py is told to who makes the same mistake in other words."""
    report = judged(make_exercise(), "def double(x, factor=2.0):\n    return x + x + x\n")
    assert report.tests[0].explanation == "Three is one too many."
    report = judged(make_exercise(), "def double(x, factor=2.0):\n    return 17.0 * x\n")
    assert report.tests[0].explanation == ""


def test_a_hidden_value_is_not_shown(make_exercise, judged):
    """What a public test compares with is shown to a student; in a hidden test it is a secret."""
    test = titled("test_passes", "assert_close(submission.double(np.array([1.5])), np.array([77.25]))")
    changes = hidden(test) | NO_WRONG
    exercise = make_exercise(changes=changes | {"public_tests.py": changes["hidden_tests.py"]})
    source = "def double(x, factor=2.0):\n    return factor * x\n"
    (secret,), (public,) = judged(exercise, source).tests, judged(exercise, source, suite="public").tests
    assert "77.25" in public.message
    assert secret.verdict is Verdict.WRONG_ANSWER
    assert "77" not in secret.message


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from grader import exercise, judge
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    judge.start(exercise.load_folder(Path(sys.argv[1])))
except KeyboardInterrupt:
    print("interrupted", flush=True)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("nobody is left", flush=True)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)
"""


def test_ctrl_c_in_the_midst_of_a_fork_is_not_lost(make_exercise, child):
    """Python swallows what a handler raises within what libraries do around a fork; and the judge's child has ended."""
    process = child(INTERRUPTED, make_exercise().folder)
    said, _ = process.communicate(timeout=60)
    assert said.splitlines() == ["interrupted", "nobody is left", "set()"]
    assert process.returncode == 0
