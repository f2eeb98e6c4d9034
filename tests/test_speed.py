"""Speed limits: the statistics against simulation, and verdicts on submissions that are too slow by construction."""

import numpy as np
import pytest

from grader import fakes, gate, speed
from grader.report import Report, Speed
from grader.speed import CPU, WALL, Bounds, Samples, decide, exponents, interval
from grader.verdict import Rejected, Verdict

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

DISTRIBUTIONS = {
    "log-normal": (lambda rng, shape: rng.lognormal(sigma=0.5, size=shape), 1.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), np.log(2)),
    "Cauchy": (lambda rng, shape: rng.standard_cauchy(size=shape), 0.0),
    "one in five far off": (
        lambda rng, shape: rng.normal(size=shape) + 50 * rng.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 1], size=shape),
        0.0,
    ),
}


@pytest.mark.parametrize("pairs", speed.LOOKS)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_interval_holds_the_median_as_often_as_it_says(name, pairs):
    """For any distribution, 99 % of 3,000 intervals or more, but for chance; and none is wider than it must be."""
    draw, median = DISTRIBUTIONS[name]
    found = [interval(values) for values in draw(np.random.default_rng(pairs), (3000, pairs))]
    covered = np.mean([each.low <= median <= each.high for each in found])
    assert all(each.certain for each in found)
    assert covered >= speed.CONFIDENCE - 4 * np.sqrt(0.01 * 0.99 / 3000)
    narrower = [np.sort(values)[[speed._rank(pairs, 0.99), -1 - speed._rank(pairs, 0.99)]] for values in
                draw(np.random.default_rng(pairs), (3000, pairs))]  # fmt: skip
    assert np.mean([low <= median <= high for low, high in narrower]) < speed.CONFIDENCE


def test_few_values_are_not_certain():
    """With seven values no interval has that confidence; the least and the largest are told all the same."""
    found = interval([3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0])
    assert (found.low, found.median, found.high, found.certain) == (1.0, 4.0, 7.0, False)
    assert interval([1.0, 2.0, 3.0, 10.0]).median == 2.5


def test_exponents_are_those_of_a_least_squares_fit():
    """Round by round the slope that np.polyfit finds on logarithms, for any sizes."""
    rng = np.random.default_rng(0)
    sizes = np.array([3, 10, 50, 1000])
    times = rng.lognormal(size=(20, 4)) * sizes**1.3
    wanted = [np.polyfit(np.log(sizes), np.log(row), 1)[0] for row in times]
    assert np.allclose(exponents(sizes, times), wanted)


def samples(ratio=1.0, *, sizes=(100, 200, 400), rounds=16, power=1.0, noise=0.02, wall=1.0, small=1.0, cpu=True):
    """Draw the samples of a submission of a known `ratio` to a reference that takes time ~ size.

    power: of its growth beyond the reference's; wall: its wall time over its processor time; small: what its calls
    but the largest take more.
    """
    rng = np.random.default_rng(0)
    work = 1e-5 * np.array(sizes) * np.exp(noise * rng.normal(size=(rounds, len(sizes))))
    crossing = 3e-4 * np.exp(noise * rng.normal(size=(2, rounds, len(sizes), 2)))
    extra = (np.array(sizes) / sizes[-1]) ** (power - 1) * np.where(np.array(sizes) < sizes[-1], small, 1.0)
    yours = ratio * work * extra * np.exp(noise * rng.normal(size=work.shape))
    seconds = np.stack([wall * yours, yours if cpu else np.nan * yours], axis=-1)
    return Samples(tuple(sizes), seconds + crossing[0], work[..., None] + crossing[1], work)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0, 9.0])
def test_a_known_ratio_is_found(ratio):
    """What crossing costs cancels, and the interval holds the ratio."""
    found = samples(ratio, rounds=64).ratio()
    assert found.low <= ratio <= found.high
    assert found.median == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        ({"ratio": 2.0}, "within"),
        ({"ratio": 3.3}, "within"),
        ({"ratio": 4.8}, "over"),
        ({"ratio": 4.0}, "inconclusive"),
        ({"ratio": 3.3, "noise": 0.3}, "inconclusive"),
        ({"ratio": 1.0, "wall": 6.0}, "over"),  # it sleeps
        ({"ratio": 1.0, "wall": 1.5}, "within"),
        ({"ratio": 6.0, "wall": 0.3}, "over"),  # several threads
        ({"ratio": 2.0, "cpu": False}, "within"),  # an engine that does not count
        ({"ratio": 6.0, "cpu": False}, "over"),
        ({"ratio": 6.0, "small": 8.0}, "over"),  # the slope alone would be negative
        ({"ratio": 2.0, "power": 2.2}, "over"),  # it grows too fast
        ({"ratio": 50.0, "rounds": 2}, "over"),  # beyond doubt after two rounds
        ({"ratio": 5.0, "rounds": 2}, "inconclusive"),
    ],
)
def test_decisions(made, outcome):
    """At most 4 times the reference's time and a growth like size**1.8 are allowed."""
    assert decide(samples(**made), Bounds(ratio=4.0, growth=1.8)).outcome == outcome


def test_the_slope_counts_where_it_is_larger():
    """A time that rises from almost nothing is judged by how it rises."""
    made = samples(3.0, rounds=16)
    made.yours[:, 0] = made.reference[:, 0] - made.work[:, 0, None]
    slope = (3.0 * 4e-3) / (4e-3 - 1e-3)
    assert made.ratio().median == pytest.approx(slope, rel=0.05)
    assert (WALL, CPU) == (0, 1)


def test_timed_answers_are_compared():
    """Structure, shape, dtype and value: rounding passes; half precision, other shapes, NaN and other parts do not."""
    x = np.linspace(0.1, 1, 1000)
    speed.agree((x * (1 + 1e-14), 2.0), [x, 2.0], "f")
    speed.agree({"a": np.float32(x)}, {"a": np.float32(x) * np.float32(1 + 1e-6)}, "f")
    wrong = [
        (x.astype(np.float32), x),
        (x.astype(np.float32).astype(np.float64), x),
        (x.astype(np.float16).astype(np.float32), x.astype(np.float32)),
        (x[:-1], x),
        (np.where(x > 0.9, np.nan, x), x),
        ((x,), (x, x)),
        ({"b": x}, {"a": x}),
        (None, x),
        ("text", 1.0),
        (np.array([1, 3]), np.array([1, 2])),
    ]
    for got, want in wrong:
        with pytest.raises(Rejected):
            speed.agree(got, want, "f")


# --- real sandboxes

ROOTS = '''"""y = sqrt(1 + y^2), forty times."""

import numpy as np


def double(x, factor=2.0):
    """Return sqrt(x**2 + 40), step by step."""
    for _ in range(40):
        x = np.sqrt(1 + x * x)
    return x
'''
TIMED = '''"""Hidden tests, the timed one first."""
from grader.checkers import assert_close


def test_speed(speed, rng):
    """Takes at most four times as long."""
    speed("double", lambda n: (rng.normal(size=n),), sizes=(4000, 8000, 16000), ratio=RATIO, growth=1.9, memory=MEMORY)


def test_doubles(submission, reference, rng):
    """Is right."""
    x = rng.normal(size=5)
    assert_close(submission.double(x), reference.double(x))
'''
STEPS = """import numpy as np

def double(x, factor=2.0):
    for _ in range({steps}):
        x = np.sqrt(40 / {steps} + x * x)
    return x
"""


@pytest.fixture
def timed(make_exercise, right):
    """Return a function that makes the exercise, with limits."""

    def make(ratio=4.0, memory=8.0, **changes):
        hidden = TIMED.replace("RATIO", str(ratio)).replace("MEMORY", str(memory))
        wrong = {f"wrong/{name}.py": _WRONG for name in ("three", "no_factor", "negative")}
        return make_exercise(changes={"reference": ROOTS, "hidden_tests.py": hidden, **wrong, **changes})

    return make


_WRONG = '''"""One root is missing.

Caught by test_doubles.
"""

import numpy as np


def double(x, factor=2.0):
    return np.sqrt(x * x + 39)
'''


def told(report: Report) -> tuple[str, str, Speed | None]:
    """Return verdict and message of the timed test, and what was measured."""
    assert report.log == ""
    (test,) = [test for test in report.tests if test.name == "test_speed"]
    return test.verdict, test.message, test.speed[0] if test.speed else None


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [(80, "accepted"), (320, "time_limit_exceeded"), (128, "accepted"), (200, "time_limit_exceeded")],
)
def test_busy_work_is_counted(timed, judged, steps, verdict):
    """Half of what is allowed, twice of it, and a fifth and a quarter off the limit: by construction."""
    report = judged(timed(), STEPS.format(steps=steps))
    found, message, measured = told(report)
    assert found == report.verdict == verdict, (message, measured)
    assert measured is not None
    if measured.pairs >= speed.LOOKS[0]:
        low, high = measured.ratio_interval
        assert 0.85 * low <= steps / 40 <= 1.15 * high
    assert measured.outcome == ("within" if verdict == "accepted" else "over")
    assert measured.sizes == [4000, 8000, 16000]
    assert len(measured.seconds) == len(measured.reference_seconds) == len(measured.overhead_seconds) == 3
    assert ("times as long as the reference" in message) == (verdict != "accepted")


def test_only_right_answers_are_timed(timed, judged):
    """Whatever the order in the file, and the verdict is that of the wrong answer."""
    report = judged(timed(), "def double(x, factor=2.0):\n    return x\n")
    assert report.verdict is Verdict.WRONG_ANSWER
    assert told(report) == ("wrong_answer", "Not measured: only right answers are timed.", None)
    assert report.usage.sandboxes == 1


def test_a_wrong_answer_where_it_is_timed_is_a_wrong_answer(timed, judged):
    """Being quick with large inputs is no use when they come out wrong."""
    source = STEPS.format(steps=40) + "\nright = double\n\ndef double(x, factor=2.0):\n"
    report = judged(timed(), source + "    return right(x) if len(x) < 10 else x + 0\n")
    verdict, message, _ = told(report)
    assert (verdict, report.verdict) == ("wrong_answer", "wrong_answer")
    assert "where it was timed, is wrong" in message


def test_too_much_memory_is_told_with_what_is_allowed(timed, judged):
    """What the exercise allows a file at all may still be too much beside the reference."""
    source = "import numpy as np\n\ndef double(x, factor=2.0):\n    pairs = x[:, None] * np.ones(640)\n"
    report = judged(timed(), source + "    return np.sqrt(pairs[:, 0] ** 2 + 40)\n")
    verdict, message, _ = told(report)
    assert (verdict, report.verdict) == ("memory_limit_exceeded", "memory_limit_exceeded")
    assert "on 8 times the memory that the reference needs at size" in message


def test_garbage_that_was_not_collected_is_no_fault(timed, judged):
    """Arrays that wait in cycles for the collector are let go of between two calls."""
    source = STEPS.format(steps=40) + (
        "\nright = double\n\nclass Node:\n    pass\n\ndef double(x, factor=2.0):\n    node = Node()\n"
        "    node.self, node.room = node, np.empty((4 << 20) // 8)\n    return right(x)\n"
    )
    report = judged(timed(), source)
    assert report.verdict is Verdict.ACCEPTED, told(report)
    assert report.usage.sandboxes == 2


def test_a_limit_that_the_reference_cannot_hold_is_refused(timed, monkeypatch):
    """The gate refuses it, with figures."""
    few = {name: fakes.GARBAGE[name] for name in ("None", "a friendly object")}
    monkeypatch.setattr(gate, "GARBAGE", few)
    for limits, problem in (
        ({"ratio": 0.5}, "times as long as the reference"),
        ({"ratio": 1.1}, "cannot hold the limit"),
    ):
        found = gate.verify(timed(**limits), seeds=1)
        assert any("reference" in each and problem in each for each in found.problems), found.problems


def test_a_call_that_never_returns_has_its_own_words(timed, judged):
    """The exercise's limit for a call holds for each timed one."""
    source = (
        STEPS.format(steps=40)
        + "\nright = double\n\ndef double(x, factor=2.0):\n    while len(x) > 10:\n        pass\n"
    )
    report = judged(timed(), source + "    return right(x)\n")
    assert told(report)[:2] == ("time_limit_exceeded", "double did not return within 0.5 seconds.")
