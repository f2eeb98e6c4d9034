"""Benchmarks that compare: what they run on the other side is the same work, and what they say of it follows."""

import inspect
import os
from collections.abc import Iterator

import numpy as np
import pytest

from grader import exercise as exercises
from grader import report as reports
from grader.exercise import load_folder
from grader.verdict import Verdict
from tests.bench import peers, peers_softmax, throughput, timing, untimed
from tests.bench.untimed import ROOT
from tests.conftest import timed

EXERCISES = sorted(folder.name for folder in (ROOT / "exercises").iterdir() if (folder / "hidden_tests.py").exists())


def failing(file) -> Iterator[str]:
    """Name the tests for peers that a submission fails."""
    submission: dict[str, object] = {}
    exec(file.read_text(encoding="utf-8"), submission)  # noqa: S102  our own demonstration
    for test in untimed.tests_of(peers.TESTS):
        function = getattr(peers_softmax, test.name)
        try:
            function(*(submission[name] for name in inspect.signature(function).parameters))
        except AssertionError:
            yield test.name


def judged(ratio: float, verdict: Verdict) -> reports.Report:
    """Return a report of one test that timed one call."""
    return reports.Report(
        exercise="double",
        exercise_version="",
        verdict=verdict,
        score=1.0,
        max_score=1.0,
        tests=[reports.TestReport(name="t", title="", verdict=verdict, points=1.0, max_points=1.0, speed=timed(ratio))],
        usage=reports.Usage(),
        environment=reports.Environment(grader="", engine=""),
        seed="",
    )


def test_peers_are_given_our_hidden_tests():
    """Each by its name, with its points; only the one that times is ours alone."""
    hidden = untimed.tests_of(peers.HIDDEN)
    assert [each.name for each in hidden if each.name not in peers.points()] == ["test_speed"]
    assert sum(peers.points().values()) == 20


def test_peers_tests_tell_right_from_wrong():
    """Or they would cost nothing."""
    assert list(failing(peers.RIGHT)) == []
    with np.errstate(over="ignore", invalid="ignore"):
        assert "test_large_scores" in set(failing(peers.WRONG))


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untimed_exercise_is_whole_but_for_its_speed_limit(name, tmp_path):
    """It loads, has every other hidden test and times nothing; the one it was made from does."""
    assert exercises.load(name).is_timed("hidden")
    copy = load_folder(tmp_path / "exercises" / untimed.write(name, tmp_path))
    assert not copy.is_timed("hidden")
    before = [test.name for test in untimed.tests_of(ROOT / "exercises" / name / "hidden_tests.py")]
    after = [test.name for test in untimed.tests_of(copy.folder / "hidden_tests.py")]
    assert [name for name in before if name not in after] == ["test_speed"]


def test_the_quickest_peer_decides():
    """By the median of the ratios of the rounds, not by the ratio of medians; without peers nothing is met."""
    ours = {peers.OURS: [10.0, 20.0, 40.0]}
    slow, quick = {"slow": [400.0, 800.0, 1600.0]}, {"quick": [310.0, 500.0, 1240.0]}
    facts = dict.fromkeys([peers.OURS, "slow", "quick"], "")
    cpu = {name: [1.0] for name in facts}
    assert peers.met(ours | slow | quick)
    said = peers.table(ours | slow | quick, cpu, facts, {})
    assert "quick is the quickest peer and takes 31.0 [28.0, 31.0] times as long" in said
    assert said.endswith("target 30: met\n")
    late = {"quick": [290.0, 580.0, 4000.0]}
    assert not peers.met(ours | slow | late)
    assert peers.table(ours | slow | late, cpu, facts, {}).endswith("target 30: MISSED\n")
    assert not peers.met(ours)
    assert "nothing to compare with" in peers.table(ours, cpu, facts, {"slow": "no network"})


def test_spread_and_gain_are_shares_of_the_median():
    """A twentieth is allowed of each, and a trick that is accepted misses whatever it gains."""
    said: list[str] = []
    assert timing.spread([1.0] * 9 + [1.04], said.append) == []
    assert timing.spread([1.0] * 7 + [1.06] * 3, said.append) == ["spread"]
    over = judged(5.0, Verdict.TIME_LIMIT_EXCEEDED)
    assert timing.gains("a trick", [over], [5.2], said.append) == []
    assert timing.gains("a trick", [over], [5.4], said.append) == ["a trick"]
    assert timing.gains("a trick", [judged(5.0, Verdict.ACCEPTED)], [5.0], said.append) == ["a trick"]


def test_processor_time_is_the_kernels_count():
    """Of the process and of what it has waited for; what is gone counts as nothing."""
    before = sum(os.times()[:4])
    assert throughput.spent(os.getpid()) > before - 0.005  # they are sums of hundredths
    assert throughput.spent(1 << 30) == 0.0
