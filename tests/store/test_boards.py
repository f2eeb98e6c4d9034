"""What staff and everybody read: leaderboards, pages of submissions, what a new version must judge again."""

import pytest

from grader import report
from grader.errors import NotFound
from grader.store.identity import Identity
from grader.store.models import Best
from grader.verdict import Verdict
from tests.conftest import timed


def _board(store, organisation="school", limit=10):
    return [(place.rank, place.name, place.score) for place in store.board("softmax", limit, organisation=organisation)]


def test_a_board_shows_the_best_of_each_who_shows_a_name(store, school, judge):
    """The highest score once a learner, the earlier of equals first; others' organisations have their own."""
    judge(school["bob"], 1.0)
    judge(school["cyd"], 3.5)
    judge(school["eve"], 2.0)
    judge(school["bob"], 2.0)
    judge(school["ada"], 2.0)
    assert _board(store) == [(1, "Builder", 2.0), (2, "Countess", 2.0)]
    judge(school["ada"], 3.5)
    judge(school["ada"], 0.0)
    assert _board(store) == [(1, "Countess", 3.5), (2, "Builder", 2.0)]
    assert _board(store, limit=1) == [(1, "Countess", 3.5)]
    assert _board(store, "firm") == [(1, "Eve", 2.0)]
    assert store.board("adam", 10, organisation="school") == []
    (first, _) = store.board("softmax", 10, organisation="school")
    assert first.max_score == 3.5
    assert first.reached_at == store.history(school["ada"].learner, "softmax", 9)[1].created_at


def test_the_faster_of_equal_scores_comes_first(store, school, judge):
    """The ratio decides after the score and before the time; of what was not accepted there is none."""
    judge(school["bob"], 3.5, tests=_timed(2.5))
    judge(school["ada"], 3.5, tests=_timed(1.25, 3.0))
    assert _ratios(store) == [("Builder", 2.5), ("Countess", 3.0)]
    judge(school["ada"], 3.5, tests=_timed(2.0, 1.25))
    assert _ratios(store) == [("Countess", 2.0), ("Builder", 2.5)]
    judge(school["ada"], 3.5, tests=_timed(2.25))
    judge(school["bob"], 1.0, tests=_timed(0.5))
    assert _ratios(store) == [("Countess", 2.0), ("Builder", 2.5)]
    judge(school["bob"], 3.5, tests=_timed(1.96))
    assert _ratios(store) == [("Countess", 2.0), ("Builder", 2.0)]  # a difference of noise: ada was first


def test_what_was_never_timed_comes_after_what_was(store, school, judge):
    """A full score from before there was a speed limit is no reason to stand first."""
    judge(school["bob"], 3.5)
    judge(school["ada"], 3.5, tests=_timed(20.0))
    assert _ratios(store) == [("Countess", 20.0), ("Builder", None)]
    judge(school["bob"], 3.5, tests=_timed(21.0))
    assert _ratios(store) == [("Countess", 20.0), ("Builder", 21.0)]


def test_a_rejudge_changes_the_ratio(store, school, judge, finish):
    """The judging that stands tells it, and another submission may be the fastest then."""
    judge(school["ada"], 3.5, tests=_timed(2.0))
    best = judge(school["ada"], 3.5, tests=_timed(1.5))
    finish(store.rejudge(best).judging, 3.5, tests=_timed(1.75))
    assert _ratios(store) == [("Countess", 1.8)]
    finish(store.rejudge(best).judging, 1.0, tests=_timed(5.0))
    assert _ratios(store) == [("Countess", 2.0)]


def _timed(*ratios):
    verdict = Verdict.ACCEPTED
    return [
        report.TestReport(name="t", title="", verdict=verdict, points=1.0, max_points=1.0, speed=timed(*ratios)),
    ]


def _ratios(store):
    return [(place.name, place.speed_ratio) for place in store.board("softmax", 10, organisation="school")]


def test_a_name_is_shown_from_when_it_is_chosen_until_it_is_taken_back(store, school, judge):
    """The choice holds for what was sent before, too; a disabled account is not shown."""
    identity = Identity(store)
    judge(school["cyd"], 3.5)
    judge(school["bob"], 2.0)
    identity.set_public_name(school["cyd"].id, "Cyd", by=school["cyd"].id)
    assert _board(store) == [(1, "Cyd", 3.5), (2, "Builder", 2.0)]
    identity.set_public_name(school["cyd"].id, None, by=school["cyd"].id)
    identity.disable(school["bob"].id, by=None)
    assert _board(store) == []


def test_a_rejudge_moves_a_learner_on_the_board(store, school, judge, finish):
    """Down to the next best submission, up again where it raises the score; our fault moves nobody."""
    judge(school["ada"], 2.0)
    best = judge(school["ada"], 3.5)
    finish(store.rejudge(best).judging, 1.0)
    assert _board(store) == [(1, "Countess", 2.0)]
    finish(store.rejudge(best).judging, 0.0, verdict=Verdict.INTERNAL_ERROR, tests=[])
    assert _board(store) == [(1, "Countess", 2.0)]
    finish(store.rejudge(best).judging, 3.0)
    assert _board(store) == [(1, "Countess", 3.0)]


def test_our_fault_puts_nobody_on_the_board(store, school, judge, rows):
    """A judging that failed says nothing of the learner."""
    judge(school["ada"], 0.0, verdict=Verdict.INTERNAL_ERROR, tests=[])
    assert (_board(store), rows(Best.score)) == ([], [])


def test_staff_read_submissions_in_pages(store, school, judge, finish):
    """The newest first, each once, with its learner, attempt and the judging that stands; others' are not there."""
    sent = [judge(school[name], 1.0) for name in ("ada", "bob", "ada", "cyd", "ada")]
    judge(school["eve"], 1.0)
    again = store.rejudge(sent[0])
    finish(again.judging, 3.5)
    pages, before = [], None
    while page := store.submissions("softmax", 2, organisation="school", before=before):
        pages.append(page)
        before = page[-1].attempt.submission
    lines = [line for page in pages for line in page]
    assert [line.attempt.submission for line in lines] == sorted(sent, reverse=True)
    assert {line.attempt.submission: (line.learner, line.attempt.attempt) for line in lines} == {
        sent[0]: ("school/ada", 1),
        sent[1]: ("school/bob", 1),
        sent[2]: ("school/ada", 2),
        sent[3]: ("school/cyd", 1),
        sent[4]: ("school/ada", 3),
    }
    (first,) = [line.attempt for line in lines if line.attempt.submission == sent[0]]
    assert (first.judging, first.score) == (again.judging, 3.5)
    assert store.submissions("adam", 2, organisation="school") == []


def test_the_learner_of_a_page_can_be_asked_for(store, school, judge):
    """Whoever may read a submission is decided by its learner's account."""
    sent = judge(school["eve"], 1.0)
    assert Identity(store).by_learner(store.learner(sent)) == school["eve"]
    assert Identity(store).by_learner("nobody") is None
    with pytest.raises(NotFound):
        store.learner("s_unknown")
