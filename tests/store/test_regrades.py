"""Regrades: who is judged again, once each, in portions; which judging counts; and how it goes on after a kill."""

import signal
from contextlib import closing

import pytest

from grader.errors import NotFound, UsageError
from grader.owner import me
from grader.store import open_store
from grader.store.models import Judging, Submission
from grader.verdict import Verdict

LONG = 600.0

FEED_AND_DIE = """
import os, signal, sys
from sqlalchemy import event
from grader.store import open_store, regrades
regrades.PORTION = 3
store = open_store(sys.argv[1])
commits = []
def die_at_the_second(connection):
    commits.append(connection)
    if len(commits) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(store._engine, "commit", die_at_the_second)
store.feed(sys.argv[2], 100)
"""

FEED = """
import sys
from grader.store import open_store, regrades
regrades.PORTION = 5
store = open_store(sys.argv[1])
sys.stdin.readline()
for _ in range(40):
    for judging in store.feed(sys.argv[2], 1000) or ([store.rejudge(sys.argv[3]).judging] if sys.argv[3:] else []):
        print(store.progress(judging).submission, flush=True)
store.close()
"""


@pytest.fixture
def begin(store):
    """Return a function: begin a regrade of softmax for version v2, by workers; return its id."""

    def start(**changes):
        begun = store.begin_regrade("softmax", "v2", **({"title": "Softmax", "by": "grace", "queue": "cpu"} | changes))
        return None if begun is None else begun.regrade

    return start


@pytest.fixture
def judge_all(store, report_on):
    """Return a function: be the worker until nothing waits; scores by learner, and what else the reports say."""

    def work(scores, **changes):
        while (claim := store.claim_next("cpu", me(), LONG)) is not None:
            score = scores.get(store.learner(claim.submission), 0.0)
            said = {"score": score, "exercise_version": "v2"} | changes
            assert store.finish(claim, report_on(claim, **said))

    return work


def _ids(found):
    return [each.submission for each in found]


def test_a_new_version_finds_what_it_must_judge_again(store, school, judge, finish, send):
    """What stands judged against another version, once, oldest first; not what is being judged or already was."""
    old, newer = judge(school["ada"], 2.0), judge(school["bob"], 3.5, exercise_version="v2")
    other = judge(school["cyd"], 1.0)
    send(store, learner="waits")
    found = store.regrade_candidates("softmax", "v2", 10)
    assert [(one.submission, one.learner, one.attempt, one.version, one.score) for one in found] == [
        (old, "school/ada", 1, "v1", 2.0),
        (other, "school/cyd", 1, "v1", 1.0),
    ]
    assert store.count_candidates("softmax", "v2") == 2
    assert store.regrade_candidates("softmax", "v2", 9, organisation="school") == found
    assert store.regrade_candidates("softmax", "v2", 9, organisation="firm") == []
    assert store.count_candidates("softmax", "v2", organisation="firm") == 0
    assert store.regrade_candidates("softmax", "v2", 1) == found[:1]
    assert store.regrade_candidates("softmax", "v2", 9, after=found[0].submission) == found[1:]
    assert _ids(store.regrade_candidates("softmax", "v1", 9)) == [newer]
    assert store.count_candidates("softmax", "v3") == 3
    again = store.rejudge(old, queue="cpu")
    assert _ids(store.regrade_candidates("softmax", "v2", 9)) == [other]
    finish(again.judging, 3.5, exercise_version="v2")
    assert _ids(store.regrade_candidates("softmax", "v2", 9)) == [other]


def test_of_each_learner_the_best_and_the_last_lead(store, school, judge, send, finish):
    """Whoever wants to know soon whom a new version moves judges these first."""
    ada = [judge(school["ada"], score) for score in (1.0, 3.0, 2.0, 0.5)]
    bob = [judge(school["bob"], score) for score in (1.0, 3.5)]
    finish(send(store, learner=school["ada"].learner, exercise="adam").judging, 3.5)
    assert _ids(store.regrade_candidates("softmax", "v2", 9, leading=True)) == sorted([ada[1], ada[3], bob[1]])


def test_a_regrade_judges_each_once_and_adds_no_attempt(store, school, judge, send, begin, judge_all, rows):
    """One more judging of each, against the new version, with the old seed; what is sent meanwhile needs none."""
    ada, bob = judge(school["ada"], 2.0), judge(school["bob"], 3.5)
    regrade = begin()
    assert (store.regrade(regrade).total, store.regrade(regrade).waiting) == (2, 0)
    assert {store.progress(judging).submission for judging in store.feed(regrade, 1000)} == {ada, bob}
    judge(school["cyd"], 1.0, exercise_version="v2")
    assert store.feed(regrade, 1000) == []
    seen = store.regrade(regrade)
    assert (seen.total, seen.waiting, seen.done, seen.ended_at) == (2, 2, 0, None)
    own = [("seed 1", 0, "")] * 3
    assert sorted(rows(Judging.seed, Judging.priority, Judging.queue)) == [*[("seed 1", -1, "cpu")] * 2, *own]
    judge_all({"school/ada": 3.5, "school/bob": 3.5}, verdict=Verdict.ACCEPTED)
    assert store.feed(regrade, 1000) == []
    seen = store.regrade(regrade)
    assert (seen.waiting, seen.done, seen.failed) == (0, 2, 0)
    assert seen.ended_at is not None
    (change,) = store.changes(regrade, 9)
    assert (change.learner, change.submission, change.attempt, change.counts) == ("school/ada", ada, 1, True)
    assert (change.before.verdict, change.before.score, change.before.version) == (Verdict.WRONG_ANSWER, 2.0, "v1")
    assert (change.after.verdict, change.after.score, change.after.version) == (Verdict.ACCEPTED, 3.5, "v2")
    assert [judged.version for judged in store.submission(bob).judgings] == ["v1", "v2"]
    assert [(line.attempt, line.score) for line in store.history("school/ada", "softmax", 9)] == [(1, 3.5)]
    assert begin() is None
    assert store.regrades("softmax") == [seen]
    assert len(rows(Submission.id)) == 3


def test_scores_may_fall_unless_asked_otherwise(store, school, judge, begin, judge_all):
    """A plain regrade replaces what stands, whatever it gives."""
    judge(school["ada"], 3.5)
    store.feed(begin(), 1000)
    judge_all({"school/ada": 1.0})
    assert store.history("school/ada", "softmax", 9)[0].score == 1.0
    assert [place.score for place in store.board("softmax", 9, organisation="school")] == [1.0]


def test_never_lower_keeps_what_is_better_and_both_are_kept(store, school, judge, finish, begin, judge_all):
    """Ada's lower one does not count, bob's higher one does; asked again, neither is judged once more."""
    ada, bob = judge(school["ada"], 3.5), judge(school["bob"], 1.0)
    regrade = begin(never_lower=True)
    store.feed(regrade, 1000)
    judge_all({"school/ada": 3.0, "school/bob": 3.5})
    assert [store.history(f"school/{name}", "softmax", 9)[0].score for name in ("ada", "bob")] == [3.5, 3.5]
    assert store.report(ada, "school/ada").exercise_version == "v1"
    assert store.report(bob, "school/bob").exercise_version == "v2"
    assert [(judged.score, judged.counts) for judged in store.submission(ada).judgings] == [(3.5, True), (3.0, False)]
    lines = [store.history(f"school/{name}", "softmax", 9)[0] for name in ("ada", "bob")]
    assert [[(each.score, each.counts) for each in line.others] for line in lines] == [[(3.0, False)], [(1.0, True)]]
    assert [place.score for place in store.board("softmax", 9, organisation="school")] == [3.5, 3.5]
    assert [(change.submission, change.counts) for change in store.changes(regrade, 9)] == [(ada, False), (bob, True)]
    store.feed(regrade, 1000)
    assert begin(never_lower=True) is None
    finish(store.rejudge(ada).judging, 0.5, exercise_version="v2")  # by hand, one may
    assert store.history("school/ada", "softmax", 9)[0].score == 0.5


def test_shares_are_compared_not_points(store, school, judge, begin, judge_all):
    """A version with more points makes nobody worse: 3.5 of 3.5 stays before 5 of 7, on the board too."""
    judge(school["ada"], 3.5)
    judge(school["bob"], 1.75)
    store.feed(begin(never_lower=True), 1000)
    judge_all({"school/ada": 5.0, "school/bob": 4.0}, max_score=7.0)
    board = store.board("softmax", 9, organisation="school")
    assert [(place.name, place.score, place.max_score) for place in board] == [
        ("Countess", 3.5, 3.5),
        ("Builder", 4.0, 7.0),
    ]


def test_equal_shares_take_the_new_version(store, school, judge, begin, judge_all):
    """Nothing is lost by it, and the report is the exercise's that is there now."""
    ada = judge(school["ada"], 3.5)
    store.feed(begin(never_lower=True), 1000)
    judge_all({"school/ada": 7.0}, max_score=7.0)
    assert store.report(ada, "school/ada").exercise_version == "v2"


def test_our_fault_lowers_nobody_and_is_tried_again_by_the_next_regrade(store, school, judge, begin, judge_all):
    """The old verdict stands; this regrade ends with one that failed."""
    ada = judge(school["ada"], 2.0)
    regrade = begin()
    store.feed(regrade, 1000)
    judge_all({}, verdict=Verdict.INTERNAL_ERROR, tests=[])
    assert store.feed(regrade, 1000) == []
    seen = store.regrade(regrade)
    assert (seen.done, seen.failed, seen.ended_at is not None) == (1, 1, True)
    assert store.changes(regrade, 9) == []
    assert store.history("school/ada", "softmax", 9)[0].score == 2.0
    store.feed(begin(), 1000)
    judge_all({"school/ada": 3.0})
    assert store.report(ada, "school/ada").score == 3.0


def test_what_was_our_fault_is_judged_too_whatever_it_gives(store, school, judge, begin, judge_all):
    """A broken test may be why there is a regrade; with no verdict before, none is lower."""
    judge(school["ada"], 0.0, verdict=Verdict.INTERNAL_ERROR, tests=[])
    store.feed(begin(never_lower=True), 1000)
    judge_all({"school/ada": 1.0})
    assert store.history("school/ada", "softmax", 9)[0].score == 1.0


def test_what_was_cancelled_is_not_regraded(store, send):
    """Nobody wanted it judged."""
    cancelled = send(store, learner="main/ada", queue="cpu")
    store.cancel(cancelled.submission)
    assert store.count_candidates("softmax", "v2") == 0
    assert store.regrade_candidates("softmax", "v2", 10) == []


def test_an_overruling_holds_in_a_regrade(store, school, judge, finish, begin):
    """Staff's word on a submission is not taken back by a new version."""
    ada = judge(school["ada"], 0.0, verdict=Verdict.POLICY_VIOLATION)
    finish(store.overrule(ada, staff="grace", reason="why").judging, 3.0)
    store.feed(begin(), 1000)
    assert store.claim_next("cpu", me(), LONG).overruled


def test_a_regrade_waits_behind_everyone_and_fills_no_queue(store, school, judge, send, begin):
    """A learner who comes later is first; no more than asked for wait at a time; the sweep goes on with the rest."""
    for _ in range(7):
        judge(school["ada"], 1.0)
    regrade = begin()
    assert len(store.feed(regrade, 5)) == 5
    assert store.feed(regrade, 5) == []
    assert store.waiting() == {"cpu": 5}
    mine = send(store, learner="bob", queue="cpu", in_flight=1)
    assert store.position(mine.judging) == 0
    send(store, learner="school/ada", queue="cpu", in_flight=1)  # her old ones are not in her way
    assert store.claim_next("cpu", me(), LONG).judging == mine.judging
    store.sweep()
    assert (store.regrade(regrade).waiting, store.waiting()) == (7, {"cpu": 8})


def test_one_regrade_of_an_exercise_is_under_way(store, school, judge, begin):
    """Who begins another goes on with it, unless it treats lower scores the other way: E2119 names it."""
    judge(school["ada"], 1.0)
    regrade = begin()
    assert begin(by="hedy") == regrade
    with pytest.raises(UsageError) as caught:
        begin(never_lower=True)
    assert caught.value.code == "E2119"
    assert "grace" in caught.value.cause
    assert begin(organisation="school") != regrade
    assert begin(queue="gpu") == regrade
    store.feed(regrade, 9)
    assert store.waiting() == {"gpu": 1}


def test_a_newer_version_ends_the_regrade_for_the_last(store, school, judge, begin):
    """What it had left is the new one's to judge."""
    judge(school["ada"], 1.0)
    regrade = begin()
    newer = store.begin_regrade("softmax", "v3", title="Softmax", by="grace", queue="cpu")
    assert store.regrade(regrade).ended_at is not None
    assert store.feed(regrade, 9) == []
    assert len(store.feed(newer.regrade, 9)) == 1


def test_an_unknown_regrade_is_told(store):
    """E5101, and feeding it does nothing."""
    assert store.feed("r_unknown", 9) == []
    with pytest.raises(NotFound) as caught:
        store.regrade("r_unknown")
    assert caught.value.code == "E5101"


def test_pages_of_changes_hold_all(store, school, judge, begin, judge_all):
    """Each once, the oldest first."""
    sent = [judge(school["ada"], 1.0) for _ in range(5)]
    regrade = begin()
    store.feed(regrade, 1000)
    judge_all({"school/ada": 2.0})
    found, after = [], ""
    while page := store.changes(regrade, 2, after=after):
        found += page
        after = page[-1].submission
    assert _ids(found) == sorted(sent)


def test_a_kill_in_the_midst_loses_and_repeats_nothing(store, where, school, judge, child, begin, rows):
    """Killed before its second portion is stored: whoever goes on queues the rest, each once."""
    sent = [judge(school["ada"], 1.0) for _ in range(8)]
    regrade = begin()
    killed = child(FEED_AND_DIE, where, regrade)
    assert killed.wait() == -signal.SIGKILL
    assert store.regrade(regrade).waiting == 3
    with closing(open_store(where)) as another:
        assert len(another.feed(regrade, 1000)) == 5
    queued = [submission for submission, ordinal in rows(Judging.submission_id, Judging.ordinal) if ordinal == 2]
    assert sorted(queued) == sorted(sent)


def test_many_may_feed_and_rejudge_at_once(store, where, school, judge, child, begin, rows):
    """Three that feed and one that has a submission judged again by hand, at the same moment: no judging twice."""
    sent = [judge(school["ada"], 1.0) for _ in range(30)]
    regrade = begin()
    processes = [child(FEED, where, regrade) for _ in range(3)] + [child(FEED, where, "r_none", sent[-1])]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    fed = [line for lines in printed[:3] for line in lines]
    assert sorted(fed) in (sorted(sent), sorted(sent[:-1]))
    assert len(rows(Judging.id)) == 30 + len(fed) + 40
