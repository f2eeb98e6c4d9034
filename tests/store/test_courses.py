"""Courses in the store: who may send what when, what lateness costs, who sees what, on both databases."""

import datetime as dt
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, true

from grader import course, roster
from grader.course import Actor, Assignment, Extension, Item, Late, Override
from grader.errors import LimitReached, NotFound, UsageError
from grader.store import gradebook
from grader.store.course_models import Mark
from grader.store.courses import Courses
from grader.verdict import Verdict

INES = Actor(None, "ines")
OPENS = dt.datetime(2020, 10, 5, 8, tzinfo=dt.UTC)
DUE = dt.datetime(2020, 10, 12, 16, tzinfo=dt.UTC)
CLOSES = DUE + dt.timedelta(days=7)
SECOND, HOUR, DAY = dt.timedelta(seconds=1), dt.timedelta(hours=1), dt.timedelta(days=1)
PEOPLE = b"login,name,email,identifier,cohort\nada,Ada Lovelace,ada@example.org,1,a\nbob,Bob Byte,,2,b\ncyd,Cyd,,,a\n"


@pytest.fixture
def courses(store):
    """Return a course `dl` with ada, bob and cyd in it; whatever a test does, marks are as the entries say."""
    found = Courses(store)
    found.add("", "dl", title="Deep learning", timezone="Europe/Berlin", by=INES)
    found.import_roster("", "dl", roster.read(PEOPLE), by=INES)
    yield found
    with store.transaction(writes=False) as session:
        kept = session.execute(select(*(getattr(Mark, name) for name in gradebook._MARKS))).all()
        assert sorted(map(tuple, kept)) == sorted(map(tuple, session.execute(gradebook.best(true()))))


@pytest.fixture
def assign(courses):
    """Return a factory: a published assignment `hw1` of softmax, open for a week."""

    def make(name="hw1", **changes):
        values = {
            "name": name,
            "items": [Item(exercise="softmax", points=10.0)],
            "opens_at": OPENS,
            "due_at": DUE,
            "closes_at": CLOSES,
            "published": True,
        }
        return courses.add_assignment("", "dl", Assignment(**(values | changes)), by=INES)

    return make


@pytest.fixture
def refused(store, send):
    """Return a function: submit at a moment, and return the error it is refused with."""

    def run(at, **changes):
        with pytest.raises(LimitReached) as caught:
            send(store, received_at=at, **changes)
        return caught.value

    return run


@pytest.fixture
def sent(store, send, finish):
    """Return a function: submit at a moment and store a score; returns the submission."""

    def run(at, score=3.5, **changes):
        queued = send(store, received_at=at, **changes)
        finish(queued.judging, score)
        return queued.submission

    return run


def cell(courses, login="ada", **changes):
    """Return a learner's only cell."""
    (line,) = courses.gradebook("", "dl", login=login, **changes).lines
    return line.cells[0]


# Whether a submission is taken


def test_nothing_is_taken_before_it_opens_nor_after_it_closes(assign, refused, send, store):
    """From the second at which it opens to the one at which it closes; the error says when, in the course's zone."""
    assign()
    early = refused(OPENS - SECOND)
    assert early.code == "E6201"
    assert early.seconds == 1
    assert "2020-10-05 10:00:00 +0200 (Europe/Berlin)" in early.cause
    send(store, received_at=OPENS)
    send(store, received_at=CLOSES + dt.timedelta(microseconds=999_999))
    late = refused(CLOSES + SECOND)
    assert late.code == "E6202"
    assert late.seconds == math.inf
    assert "2020-10-12 18:00:00 +0200" in late.cause
    assert "2020-10-19 18:00:00 +0200" in late.cause


def test_nothing_late_is_taken_where_the_policy_is_closed(assign, refused, send, store):
    """It closes when it is due, whatever its own close."""
    assign(late="closed")
    send(store, received_at=DUE)
    assert refused(DUE + SECOND).code == "E6202"


def test_others_and_other_exercises_are_not_held_back(assign, send, store):
    """Whoever is not in the course, or an exercise that is not set, may be practised at any time."""
    assign()
    send(store, received_at=CLOSES + DAY, learner="dan")
    send(store, received_at=CLOSES + DAY, exercise="adam")


def test_a_draft_holds_nobody_back(assign, send, store, courses):
    """Before it is published an assignment takes nothing and refuses nothing."""
    assign(published=False)
    send(store, received_at=OPENS - DAY)
    assert cell(courses, assignment="hw1") is None


def test_attempts_run_out_and_faults_of_ours_cost_none(assign, refused, send, store, finish, sent):
    """An internal error gives the attempt back; one that waits uses it already."""
    assign(attempts=2)
    broken = send(store, received_at=OPENS)
    sent(OPENS)
    assert refused(OPENS + HOUR).code == "E6203"
    finish(broken.judging, 0.0, verdict=Verdict.INTERNAL_ERROR)
    sent(OPENS + HOUR)
    error = refused(OPENS + HOUR)
    assert error.code == "E6203"
    assert "2 of 2" in error.cause
    assert error.seconds == math.inf


def test_a_cancelled_submission_gives_its_attempt_back(assign, send, store):
    """As does one withdrawn before it was judged."""
    assign(attempts=1)
    queued = send(store, received_at=OPENS)
    assert store.cancel(queued.submission)
    send(store, received_at=OPENS)


def test_of_submissions_at_once_no_more_are_taken_than_there_are_attempts(assign, send, store):
    """Eight at the same moment, three attempts: three are stored, five refused."""
    assign(attempts=3)

    def submit(_):
        try:
            return send(store, received_at=OPENS).attempt
        except LimitReached as error:
            return error.code

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(submit, range(8)))
    assert sorted(found, key=str) == [1, 2, 3] + ["E6203"] * 5


def test_the_cooldown_is_between_submissions_of_one_exercise(assign, refused, send, store):
    """The next is taken that many seconds after the last, to the second; another exercise at once."""
    items = [Item(exercise=name, points=1.0) for name in ("softmax", "adam")]
    assign(items=items, cooldown_seconds=600)
    send(store, received_at=OPENS)
    send(store, received_at=OPENS, exercise="adam")
    error = refused(OPENS + 599 * SECOND)
    assert (error.code, error.seconds) == ("E6204", 1)
    assert "2020-10-05 10:10:00 +0200" in error.cause
    send(store, received_at=OPENS + 600 * SECOND)


def test_an_extension_is_for_one_learner(assign, courses, refused, send, store):
    """Later times and more attempts for ada, and for nobody else."""
    assign(attempts=1)
    granted = Extension(login="ada", due_at=CLOSES + DAY, more_attempts=1, reason="illness")
    courses.extend("", "dl", "hw1", granted, by=INES)
    send(store, received_at=CLOSES + DAY)
    send(store, received_at=CLOSES + DAY)
    assert refused(CLOSES + DAY).code == "E6203"
    assert refused(CLOSES + DAY + SECOND).code == "E6202"
    assert refused(CLOSES + DAY, learner="bob").code == "E6202"
    assert courses.extensions("", "dl", "hw1") == [granted]
    again = Extension(login="ada", more_attempts=5)
    courses.extend("", "dl", "hw1", again, by=INES)
    assert courses.extensions("", "dl", "hw1") == [again]


def test_of_two_assignments_the_open_one_takes_it(assign, courses, send, store, sent, refused):
    """It counts for each that is open; where none is, the error is of the one that opens first."""
    assign("hw1")
    assign("hw2", opens_at=CLOSES + DAY, due_at=CLOSES + 2 * DAY, closes_at=None)
    assign("hw3", opens_at=OPENS + DAY)
    assert refused(OPENS - HOUR).what == "dl/hw1 is not open yet"
    sent(OPENS)
    sent(OPENS + DAY, 1.75)
    scores = {each: cell(courses, assignment=each) for each in ("hw1", "hw2", "hw3")}
    assert scores["hw1"].score == 10
    assert scores["hw2"] is None
    assert scores["hw3"].score == 5
    assert refused(CLOSES + HOUR).what == "dl/hw2 is not open yet"


def test_whoever_left_the_course_is_held_back_no_more_and_keeps_what_they_sent(assign, courses, sent, send, store):
    """Letting go deletes nothing: back on the roster, the grade is there again."""
    assign()
    sent(OPENS)
    without = roster.read(PEOPLE.replace(b"ada,Ada Lovelace,ada@example.org,1,a\n", b""))
    assert courses.import_roster("", "dl", without, by=INES).missing == ["ada"]
    assert cell(courses).score == 10
    assert courses.import_roster("", "dl", without, let_go=True, by=INES).left
    assert courses.gradebook("", "dl", login="ada").lines == []
    send(store, received_at=CLOSES + DAY)
    courses.import_roster("", "dl", roster.read(PEOPLE), by=INES)
    assert cell(courses).score == 10


# Grades


def test_lateness_costs_and_the_best_after_its_penalty_counts(assign, courses, sent):
    """A day begun is a day; a worse one in time may beat a better one that is late."""
    assign(late="10%/day")
    sent(DUE, 2.8)
    sent(DUE + SECOND, 3.5)
    found = cell(courses)
    assert (found.raw, found.late_seconds, found.sent) == (10, 1, 2)
    assert found.score == pytest.approx(9)
    assert found.penalty == pytest.approx(1)
    sent(DUE + 3 * DAY + SECOND, 3.5)
    assert cell(courses).score == pytest.approx(9)
    courses.change_assignment("", "dl", "hw1", {"late": "50%/day"}, by=INES)
    assert cell(courses).score == pytest.approx(8)
    courses.extend("", "dl", "hw1", Extension(login="ada", due_at=DUE + SECOND), by=INES)
    assert (cell(courses).score, cell(courses).penalty) == (10, 0)


def test_a_rejudge_changes_the_grade(assign, courses, store, sent, finish):
    """The grade follows the judging that stands; a fault of ours in a rejudge changes nothing."""
    assign()
    submission = sent(OPENS)
    finish(store.rejudge(submission).judging, 1.75)
    assert cell(courses).score == 5
    finish(store.rejudge(submission).judging, 0.0, verdict=Verdict.INTERNAL_ERROR)
    assert cell(courses).score == 5


def test_what_is_not_judged_is_there_without_a_score(assign, courses, send, store):
    """A cell that counts what was sent, and no submission that counts."""
    assign()
    send(store, received_at=OPENS)
    assert cell(courses) == course.Cell(sent=1)
    assert cell(courses, "bob") is None


def test_a_score_that_staff_set_stands_until_it_is_taken_back(assign, courses, sent, rows):
    """Also for whoever sent nothing; the audit trail has both scores and the reason."""
    assign()
    sent(OPENS, 1.75)
    for login in ("ada", "bob"):
        courses.override("", "dl", "hw1", Override(login=login, exercise="softmax", score=7.5, reason="oral"), by=INES)
    assert (cell(courses).raw, cell(courses).score, cell(courses).overridden) == (5, 7.5, "oral")
    assert cell(courses, "bob").score == 7.5
    courses.override("", "dl", "hw1", Override(login="ada", exercise="softmax", score=None, reason="error"), by=INES)
    assert cell(courses).score == 5
    from grader.store.models import Audit

    trail = [details for action, details in rows(Audit.action, Audit.details) if action == "score.override"]
    assert [(each["by"], each["before"], each["score"], each["reason"]) for each in trail] == [
        ("ines", None, 7.5, "oral"),
        ("ines", None, 7.5, "oral"),
        ("ines", 7.5, None, "error"),
    ]


@pytest.mark.parametrize("score", [-1.0, 20.5, math.nan, math.inf])
def test_a_score_that_is_none_is_refused(assign, courses, score):
    """From 0 to twice the points."""
    assign()
    with pytest.raises(UsageError) as caught:
        courses.override("", "dl", "hw1", Override(login="ada", exercise="softmax", score=score, reason="x"), by=INES)
    assert caught.value.code == "E2307"


def test_a_gradebook_comes_in_pages_by_login(assign, courses, sent):
    """Together the pages are the whole; a cohort is a part of it."""
    assign()
    sent(OPENS)
    sent(OPENS, 1.75, learner="cyd")
    whole = courses.gradebook("", "dl")
    first = courses.gradebook("", "dl", limit=2)
    second = courses.gradebook("", "dl", limit=2, after=first.next)
    assert first.lines + second.lines == whole.lines
    assert second.next is None
    assert [(line.person.login, line.score) for line in whole.lines] == [("ada", 10), ("bob", 0), ("cyd", 5)]
    assert [line.person.login for line in courses.gradebook("", "dl", cohort="a").lines] == ["ada", "cyd"]
    assign("draft", published=False)
    assert courses.gradebook("", "dl") == whole


LATENESS = st.one_of(st.integers(0, 30 * course.DAY_SECONDS), st.integers(0, 40).map(lambda n: n * course.HOUR_SECONDS))
NUMBERS = itertools.count()
POLICY = st.builds(
    lambda percent, unit, floor: f"{percent:g}%/{unit}" + (f" floor {floor:g}%" if floor else ""),
    st.integers(0, 400).map(lambda n: n / 4),
    st.sampled_from(["day", "hour"]),
    st.integers(0, 100),
)


@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(late=POLICY, seconds=LATENESS)
def test_the_database_counts_lateness_as_python_does(assign, courses, sent, late, seconds):
    """Any policy, any lateness: SQL and `Late.factor` agree, and the parts make up the whole."""
    name = f"p{next(NUMBERS)}"  # the same example can come twice
    assign(name, late=late, closes_at=None)
    sent(DUE + seconds * SECOND)
    found = cell(courses, assignment=name)
    assert found.late_seconds == seconds
    assert found.score == pytest.approx(10 * course.late(late).factor(seconds))
    assert found.raw == pytest.approx(found.score + found.penalty)
    courses.change_assignment("", "dl", name, {"closes_at": DUE}, by=INES)  # the next example is for itself


@given(
    late=st.builds(Late, st.floats(0, 100), st.sampled_from([3600, 86400]), st.floats(0, 100)),
    seconds=st.lists(st.integers(0, 10**8), min_size=2, max_size=2).map(sorted),
)
def test_lateness_never_pays(late, seconds):
    """In time all is kept; more lateness keeps no more; never less than the floor, never more than all."""
    sooner, later = map(late.factor, seconds)
    assert late.factor(0) == max(100.0, late.floor) / 100 == 1.0
    assert late.factor(-1) == 1.0
    assert late.floor / 100 <= later <= sooner <= 1.0


# What is shown


@pytest.fixture
def shown(courses, store):
    """Return a function: the names of the tests that ada is shown of a submission at a moment."""

    def read(submission, at, learner="ada"):
        report = store.report(submission, learner)
        found = courses.disclose(report, learner, now=at)
        assert found.withheld == len(report.tests) - len(found.tests)
        assert (found.verdict, found.score) == (report.verdict, report.score)
        return [test.name for test in found.tests]

    return read


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [("always", 2, 2), ("after_due", 0, 2), ("never", 0, 0)],
)
def test_results_are_disclosed_by_the_rule(assign, sent, shown, rule, before, after):
    """Never, after the due time, always; to the second."""
    assign(disclosure=rule)
    submission = sent(OPENS, 2.0)
    assert len(shown(submission, DUE)) == before
    assert len(shown(submission, DUE + SECOND)) == after


def test_a_test_may_have_a_rule_of_its_own(assign, sent, shown, courses, store):
    """And what is left out is told, with the moment at which it comes where there is one."""
    own: dict[str, course.Disclosure] = {"test_b": "always", "test_a": "after_due"}
    assign(items=[Item(exercise="softmax", points=10.0, disclosure=own)], disclosure="never")
    submission = sent(OPENS, 2.0)
    assert shown(submission, DUE) == ["test_b"]
    told = courses.disclose(store.report(submission, "ada"), "ada", now=DUE)
    assert told.message.endswith("The results of 1 of 2 tests are not shown before 2020-10-12 16:00:00 UTC.")
    assert shown(submission, DUE + SECOND) == ["test_b", "test_a"]


def test_ones_own_due_time_decides(assign, sent, shown, courses):
    """With an extension, results come after that."""
    assign(disclosure="after_due")
    submission = sent(OPENS, 2.0)
    courses.extend("", "dl", "hw1", Extension(login="ada", due_at=DUE + DAY), by=INES)
    assert shown(submission, DUE + SECOND) == []
    assert len(shown(submission, DUE + DAY + SECOND)) == 2


def test_a_token_shows_one_submission_whole_and_comes_back(assign, sent, shown, courses):
    """Two tokens, each back after a day; what is shown already costs none."""
    assign(disclosure="never", tokens=2, token_seconds=86400)
    first, second, third = (sent(OPENS, 2.0) for _ in range(3))
    assert courses.release(first, "ada", now=OPENS) == 1
    assert courses.release(first, "ada", now=OPENS) == 1
    assert len(shown(first, OPENS)) == 2
    assert shown(second, OPENS) == []
    assert courses.release(second, "ada", now=OPENS + HOUR) == 0
    with pytest.raises(LimitReached) as caught:
        courses.release(third, "ada", now=OPENS + 2 * HOUR)
    assert caught.value.code == "E6205"
    assert caught.value.seconds == 22 * 3600
    assert courses.mine("", "dl", "hw1", "ada", now=OPENS + 2 * HOUR).tokens_left == 0
    assert courses.mine("", "dl", "hw1", "ada", now=OPENS + DAY).tokens_left == 1
    assert courses.release(third, "ada", now=OPENS + DAY) == 0


def test_nobody_spends_a_token_on_anothers_submission(assign, sent, courses):
    """It looks like no submission."""
    assign(disclosure="never", tokens=1)
    submission = sent(OPENS)
    with pytest.raises(NotFound):
        courses.release(submission, "bob", now=OPENS)


def test_a_learner_sees_what_is_left_to_them(assign, courses, sent):
    """Their own times, attempts and tokens; of a draft, nothing."""
    assign(attempts=3, tokens=1)
    sent(OPENS)
    courses.extend("", "dl", "hw1", Extension(login="ada", due_at=DUE + DAY, more_attempts=2), by=INES)
    mine = courses.mine("", "dl", "hw1", "ada", now=OPENS)
    assert (mine.due_at, mine.closes_at) == (DUE + DAY, CLOSES)
    assert mine.attempts_left == {"softmax": 4}
    assert courses.mine("", "dl", "hw1", "bob", now=OPENS).attempts_left == {"softmax": 3}
    assign("hw2", published=False)
    with pytest.raises(NotFound):
        courses.mine("", "dl", "hw2", "ada", now=OPENS)


# Appeals


def test_an_appeal_is_answered_once(assign, courses, sent):
    """One open appeal a submission; after its answer another may follow."""
    assign()
    submission = sent(OPENS, 1.75)
    (made,) = courses.appeal(submission, "ada", " the tolerance is too tight ")
    assert (made.state, made.reason, made.login, made.exercise) == (
        "open",
        "the tolerance is too tight",
        "ada",
        "softmax",
    )
    with pytest.raises(UsageError, match="waits for its answer"):
        courses.appeal(submission, "ada", "again")
    done = courses.answer("", "dl", made.id, accept=False, answer="it is not", by=INES)
    assert (done.state, done.answer, done.answered_by) == ("declined", "it is not", "ines")
    with pytest.raises(UsageError, match="declined already"):
        courses.answer("", "dl", made.id, accept=True, answer="", by=INES)
    (second,) = courses.appeal(submission, "ada", "please")
    assert [each.id for each in courses.appeals("", "dl")] == [second.id, made.id]
    assert courses.appeals("", "dl", learner="bob") == []
    with pytest.raises(NotFound):
        courses.appeal(submission, "bob", "mine too")


# Rosters


def test_an_import_stores_all_or_nothing(courses):
    """A line with a problem keeps the whole file out, unless bad lines are to be skipped."""
    bad = roster.read(b"login,name\ndan,Dan\neve,=HYPERLINK(1)\n")
    told = courses.import_roster("", "dl", bad, by=INES)
    assert not told.stored
    assert [problem.line for problem in told.problems] == [3]
    assert len(courses.roster("", "dl")) == 3
    told = courses.import_roster("", "dl", bad, skip_bad=True, by=INES)
    assert (told.stored, told.added) == (True, ["dan"])
    assert [each.person.login for each in courses.roster("", "dl")] == ["ada", "bob", "cyd", "dan"]


def test_an_import_again_updates_and_a_dry_run_stores_nothing(courses):
    """Names and cohorts are corrected; who is missing is told and stays."""
    changed = roster.read(b"login,name,cohort\nada,Ada King,b\nbob,Bob Byte,b\n")
    told = courses.import_roster("", "dl", changed, dry_run=True, by=INES)
    assert (told.stored, told.updated, told.missing) == (False, ["ada", "bob"], ["cyd"])
    assert courses.roster("", "dl")[0].person.name == "Ada Lovelace"
    assert courses.import_roster("", "dl", changed, by=INES).stored
    assert courses.roster("", "dl")[0].person.name == "Ada King"
    assert [each.left_at for each in courses.roster("", "dl")] == [None] * 3
    assert courses.import_roster("", "dl", changed, by=INES).unchanged == 2


def test_a_line_that_contradicts_the_course_is_a_problem(courses):
    """An identifier that is another's, a login in other letters: nobody's work changes hands."""
    told = courses.import_roster(
        "", "dl", roster.read(b"login,name,identifier\nada2,Ada,1\nBOB,Bob,\n"), let_go=True, skip_bad=True, by=INES
    )
    assert [problem.line for problem in told.problems] == [2, 3]
    assert not told.stored
    assert told.missing == ["cyd"]
    assert len([each for each in courses.roster("", "dl") if each.left_at is None]) == 3


def test_two_courses_share_their_learners(courses, store):
    """A learner is one, however many courses they are in; other organisations' are others."""
    courses.add("", "ml", title="", timezone="UTC", by=INES)
    courses.add("school", "dl", title="", timezone="UTC", by=INES)
    courses.import_roster("", "ml", roster.read(PEOPLE), by=INES)
    courses.import_roster("school", "dl", roster.read(PEOPLE), by=INES)
    assert [each.name for each in courses.list_("", learner="ada")] == ["dl", "ml"]
    assert [each.name for each in courses.list_("school", learner="school/ada")] == ["dl"]
    assert courses.is_member("school", "dl", "school/ada")
    assert not courses.is_member("school", "dl", "ada")


# What does not hold together


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"items": []}, "E2307"),
        ({"items": [Item(exercise="softmax", points=1.0)] * 2}, "E2307"),
        ({"items": [Item(exercise="softmax", points=0.0)]}, "E2307"),
        ({"items": [Item(exercise="softmax", points=math.nan)]}, "E2307"),
        ({"due_at": OPENS}, "E2307"),
        ({"closes_at": DUE - SECOND}, "E2307"),
        ({"late": "10%"}, "E2305"),
        ({"late": "110%/day"}, "E2305"),
        ({"late": "10%/day", "due_at": None}, "E2307"),
        ({"disclosure": "after_due", "due_at": None, "closes_at": None}, "E2307"),
        ({"attempts": 0}, "E2307"),
        ({"cooldown_seconds": -1}, "E2307"),
        ({"tokens": -1}, "E2307"),
        ({"name": "Homework 1"}, "E2301"),
        ({"name": "hw0"}, "E2118"),
    ],
)
def test_an_assignment_that_does_not_hold_together_is_refused(assign, changes, code):
    """With what is wrong and what to do, and nothing is stored."""
    assign("hw0")
    with pytest.raises(UsageError) as caught:
        assign(**changes)
    assert caught.value.code == code
    assert caught.value.cause
    assert caught.value.hint


def test_what_work_was_sent_for_stays(assign, courses, sent):
    """Its exercise cannot go, nor can it be hidden; an exercise can come."""
    assign()
    sent(OPENS)
    adam = Item(exercise="adam", points=5.0)
    for changes in ({"items": [adam]}, {"published": False}):
        with pytest.raises(UsageError, match="cannot"):
            courses.change_assignment("", "dl", "hw1", changes, by=INES)
    both = [Item(exercise="softmax", points=20.0), adam]
    assert courses.change_assignment("", "dl", "hw1", {"items": both}, by=INES).points == 25
    assert cell(courses).score == 20


def test_an_extension_takes_nothing_away(assign, courses):
    """No earlier time, no attempt less, and nobody who is not on the roster."""
    assign(closes_at=None)
    for wrong in (
        Extension(login="ada", due_at=DUE - SECOND),
        Extension(login="ada", closes_at=CLOSES),
        Extension(login="ada", more_attempts=-1),
    ):
        with pytest.raises(UsageError):
            courses.extend("", "dl", "hw1", wrong, by=INES)
    with pytest.raises(NotFound):
        courses.extend("", "dl", "hw1", Extension(login="dan", more_attempts=1), by=INES)


def test_an_extension_that_grants_nothing_takes_back_what_was_granted(assign, courses, sent):
    """The learner's lateness is counted as everybody's again."""
    assign(late="10%/day")
    sent(DUE + SECOND)
    courses.extend("", "dl", "hw1", Extension(login="ada", due_at=DUE + DAY), by=INES)
    assert cell(courses).penalty == 0
    courses.extend("", "dl", "hw1", Extension(login="ada"), by=INES)
    assert cell(courses).penalty == 1
    assert courses.extensions("", "dl", "hw1") == []


def test_times_out_of_order_are_told_in_the_courses_zone(assign):
    """With both options, as they were written."""
    with pytest.raises(UsageError, match="--due is not after --opens") as caught:
        assign(due_at=OPENS - HOUR)
    assert "2020-10-05 10:00:00 +0200 (Europe/Berlin), --due 2020-10-05 09:00:00 +0200" in caught.value.cause


def test_the_files_that_count_come_by_login(assign, courses, sent, send, store):
    """Of each learner the best that is judged, cut where it is too long."""
    assign()
    for score, source in ((1.0, b"worse"), (3.0, b"\x00better"), (2.0, b"later")):
        sent(OPENS, score, source=source)
    sent(OPENS, learner="cyd", source=b"much longer")
    send(store, received_at=OPENS, learner="bob", source=b"not judged")
    found = courses.sources("", "dl", "hw1", "softmax", most_bytes=7)
    assert found == {"ada": b"\x00better", "cyd": b"much lo"}
    with pytest.raises(NotFound) as caught:
        courses.sources("", "dl", "hw1", "adam", most_bytes=7)
    assert caught.value.code == "E5107"


def test_names_of_others_are_not_found(courses):
    """A course of another organisation is none."""
    for ask in (
        lambda: courses.course("school", "dl"),
        lambda: courses.gradebook("school", "dl"),
        lambda: courses.assignment("", "dl", "hw9"),
    ):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.code == "E5107"


def test_an_assignment_comes_back_as_it_was_made(assign, courses):
    """Every field, through the database."""
    made = assign(
        title="Homework", late="2.5%/hour floor 50%", attempts=3, cooldown_seconds=60, tokens=2, token_seconds=3600
    )
    found = courses.assignment("", "dl", "hw1")
    assert found == made
    assert msgspec.structs.asdict(found)["due_at"] == DUE
