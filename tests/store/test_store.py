"""The way of a submission through the store: sent, claimed, finished once, read again."""

import datetime as dt
import hashlib

import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

import grader.report  # not its TestReport by name, which pytest would take for a test
from grader.errors import NotFound, UsageError
from grader.owner import me
from grader.report import Environment, Usage
from grader.store import LOST_TRIES
from grader.store.models import ExerciseVersion, Outcome, Overruling, Source
from grader.verdict import Verdict

LONG = 600.0
OVER = -1.0
"""A lease that has run out when it begins: tests need not wait."""


def _judge(store, queued, report_on, **changes):
    claim = store.claim(queued.judging, me(), LONG)
    assert store.finish(claim, report_on(claim, **changes))


def test_a_submission_is_queued_and_kept(store, send):
    """What was sent comes back byte for byte, and its judging waits."""
    content = bytes(range(256)) * 10
    queued = send(store, source=content, filename="my file.py")
    assert queued.submission.startswith("s_")
    assert queued.judging.startswith("j_")
    assert queued.attempt == 1
    assert store.source(queued.submission) == content
    (line,) = store.history("ada", "softmax", 10)
    assert (line.submission, line.judging, line.attempt) == (queued.submission, queued.judging, 1)
    assert (line.status, line.verdict, line.score, line.max_score) == ("queued", None, None, None)
    assert (line.filename, line.sha256) == ("my file.py", hashlib.sha256(content).hexdigest())
    assert abs(dt.datetime.now(dt.UTC) - line.created_at) < dt.timedelta(minutes=1)


def test_an_empty_source_is_kept_too(store, send):
    """An empty file is judged like any other, so it must be stored."""
    queued = send(store, source=b"")
    assert store.source(queued.submission) == b""
    assert store.claim(queued.judging, me(), LONG).source == b""


def test_equal_sources_are_stored_once(rows, store, send):
    """Twice the same file is two submissions of one source."""
    first, second = send(store), send(store, learner="bob")
    assert first.submission != second.submission
    assert len(rows(Source.sha256)) == 1


def test_a_version_is_noted_once_with_its_full_score(rows, store, send, report_on):
    """The first judging tells the full score; each content hash is a row of its own."""
    columns = (ExerciseVersion.exercise, ExerciseVersion.version, ExerciseVersion.title, ExerciseVersion.max_score)
    queued = send(store)
    send(store)
    assert rows(*columns) == [("softmax", "v1", "Softmax", None)]
    _judge(store, queued, report_on)
    send(store, version="v2")
    assert sorted(rows(*columns), key=str) == [
        ("softmax", "v1", "Softmax", 3.5),
        ("softmax", "v2", "Softmax", None),
    ]


def test_a_claim_carries_all_that_judging_needs(store, send):
    """Source, name, version and seed as sent; the first token, nothing lost."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), LONG)
    assert (claim.judging, claim.submission) == (queued.judging, queued.submission)
    assert (claim.exercise, claim.version, claim.seed) == ("softmax", "v1", "seed 1")
    assert (claim.filename, claim.source) == ("softmax.py", b"def softmax(x): ...\n")
    assert (claim.token, claim.lost) == (1, 0)
    assert store.history("ada", "softmax", 1)[0].status == "running"


def test_a_report_comes_back_as_it_went_in(store, send, report_on):
    """Every field, the tests in their order; with submission, judging and attempt filled in."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), LONG)
    assert store.finish(claim, report_on(claim, log="a line of ours"))
    expected = report_on(claim, log="a line of ours", submission=queued.submission, judging=queued.judging, attempt=1)
    assert store.report(queued.judging, "ada") == expected
    assert store.report(queued.submission, "ada") == expected
    assert store.report(None, "ada") == expected
    (line,) = store.history("ada", "softmax", 10)
    assert (line.status, line.verdict, line.score, line.max_score) == ("done", Verdict.WRONG_ANSWER, 2.0, 3.5)


def test_odd_characters_lose_no_verdict(store, send, report_on):
    """Lone surrogates and NUL in a name or a message are replaced; the rest stays."""
    queued = send(store, learner="a\udcffa", filename="a\ud800b\0.py")
    claim = store.claim(queued.judging, me(), LONG)
    test = grader.report.TestReport(
        name="t", title="Ünïcode 数", verdict=Verdict.RUNTIME_ERROR, points=0.0, max_points=1.0, message="x\udfff\0y 🙂"
    )
    assert store.finish(claim, report_on(claim, tests=[test], message="\0", log="\ud83d"))
    report = store.report(None, "a\udcffa")
    assert (report.message, report.log) == ("?", "?")
    assert (report.tests[0].title, report.tests[0].message) == ("Ünïcode 数", "x??y 🙂")
    assert store.history("a\udcffa", "softmax", 1)[0].filename == "a?b?.py"


def test_what_was_timed_is_stored(store, send, report_on):
    """And a test that timed nothing has nothing, as has every report of before."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), LONG)
    timed = grader.report.Speed(
        call="softmax", outcome="within", pairs=8, sizes=[1, 2], seconds=[0.1, 0.2], reference_seconds=[0.1, 0.2],
        overhead_seconds=[0.0, 0.0], ratio=1.0, ratio_interval=(0.9, 1.1), ratio_limit=4.0, exponent=1.0,
        exponent_interval=(0.9, 1.1),
    )  # fmt: skip
    first, *others = report_on(claim).tests
    assert store.finish(claim, report_on(claim, tests=[msgspec.structs.replace(first, speed=[timed]), *others]))
    assert [test.speed for test in store.report(None, "ada").tests] == [[timed], *([] for _ in others)]


def test_a_report_is_stored_whole_or_not_at_all(rows, store, send, report_on):
    """Where one outcome cannot be stored, the judging is not done either and can still be finished."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), LONG)
    twice = report_on(claim).tests[:1] * 2
    with pytest.raises(IntegrityError):
        store.finish(claim, report_on(claim, tests=twice))
    assert rows(Outcome.name) == []
    assert store.history("ada", "softmax", 1)[0].status == "running"
    assert store.finish(claim, report_on(claim))


def test_a_held_judging_cannot_be_claimed(store, send):
    """While the holder lives and its lease runs, everyone else gets None."""
    queued = send(store)
    assert store.claim(queued.judging, me(), LONG)
    assert store.claim(queued.judging, me(), LONG) is None
    assert store.unfinished() == []


def test_a_done_judging_cannot_be_claimed(store, send, report_on):
    """Done is for good."""
    queued = send(store)
    _judge(store, queued, report_on)
    assert store.claim(queued.judging, me(), LONG) is None
    assert store.unfinished() == []


def test_a_run_out_lease_frees_a_judging(store, send, report_on):
    """Another claims it with a higher token; the old claim can no longer do anything to it."""
    queued = send(store)
    old = store.claim(queued.judging, me(), OVER)
    assert store.unfinished() == [queued.judging]
    new = store.claim(queued.judging, me(), LONG)
    assert (new.token, new.lost) == (2, 1)
    assert store.extend(old, LONG) is False
    assert store.release(old) is False
    assert store.give_up(old, "") is False
    assert store.finish(old, report_on(old, verdict=Verdict.ACCEPTED)) is False
    assert store.history("ada", "softmax", 1)[0].status == "running"
    assert store.finish(new, report_on(new))
    assert store.report(None, "ada").verdict is Verdict.WRONG_ANSWER


def test_a_report_is_stored_once(rows, store, send, report_on):
    """Finishing again changes nothing, with the same claim neither."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), LONG)
    assert store.finish(claim, report_on(claim)) is True
    assert store.finish(claim, report_on(claim, verdict=Verdict.ACCEPTED)) is False
    assert store.report(None, "ada").verdict is Verdict.WRONG_ANSWER
    assert len(rows(Outcome.name)) == 2


def test_a_late_report_counts_if_nobody_came_between(store, send, report_on):
    """A lease that ran out unnoticed does not throw good work away."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), OVER)
    assert store.finish(claim, report_on(claim)) is True


def test_an_extended_lease_holds(store, send):
    """A holder that says it is alive keeps its judging."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), OVER)
    assert store.extend(claim, LONG) is True
    assert store.unfinished() == []
    assert store.claim(queued.judging, me(), LONG) is None


def test_a_released_judging_is_free_for_anyone(store, send, report_on):
    """Ctrl-C puts it back: found at the next start, not counted as lost, closed to the old claim."""
    queued = send(store)
    old = store.claim(queued.judging, me(), LONG)
    assert store.release(old) is True
    assert store.history("ada", "softmax", 1)[0].status == "queued"
    assert store.unfinished() == [queued.judging]
    assert store.finish(old, report_on(old)) is False
    assert store.extend(old, LONG) is False
    assert store.release(old) is False
    new = store.claim(queued.judging, me(), LONG)
    assert (new.token, new.lost) == (2, 0)
    assert store.finish(new, report_on(new))


def test_a_queued_judging_is_left_to_its_living_submitter(store, send, monkeypatch):
    """Another start must not judge what the sender is about to judge itself, however long it takes."""
    monkeypatch.setattr("grader.store.writes._QUEUED_LEASE_SECONDS", OVER)
    send(store)
    assert store.unfinished() == []


def test_a_queued_judging_from_elsewhere_is_left_for_a_while(store, send, monkeypatch):
    """Where the submitter cannot be asked whether it lives, it has a minute to claim."""
    monkeypatch.setattr("grader.store.writes.me", lambda: "another-host:another-boot:1:2:3")
    send(store)
    assert store.unfinished() == []
    monkeypatch.setattr("grader.store.writes._QUEUED_LEASE_SECONDS", OVER)
    late = send(store)
    assert store.unfinished() == [late.judging]


def test_unfinished_judgings_come_oldest_first(store, send):
    """Whoever waited longest is judged first."""
    sent = [send(store) for _ in range(5)]
    for queued in reversed(sent):
        store.release(store.claim(queued.judging, me(), LONG))
    assert store.unfinished() == [queued.judging for queued in sent]


def test_the_third_lost_try_is_given_up(store, send):
    """Three holders were lost: internal_error, our log, no points, and no attempt used."""
    queued = send(store)
    for lost in range(LOST_TRIES):
        assert store.claim(queued.judging, me(), OVER).lost == lost
    claim = store.claim(queued.judging, me(), LONG)
    assert claim.lost == LOST_TRIES
    assert store.give_up(claim, "killed three times") is True
    report = store.report(None, "ada")
    assert (report.verdict, report.score, report.tests) == (Verdict.INTERNAL_ERROR, 0.0, [])
    assert (report.attempt, report.log) == (1, "killed three times")
    assert "3 times" in report.message
    assert send(store).attempt == 1


def test_attempts_count_per_learner_and_exercise(store, send):
    """Others' submissions and other exercises do not use up mine."""
    assert [send(store).attempt for _ in range(3)] == [1, 2, 3]
    assert send(store, learner="bob").attempt == 1
    assert send(store, exercise="adam").attempt == 1
    assert send(store, version="v2").attempt == 4


def test_our_fault_uses_no_attempt(store, send, report_on):
    """After internal_error the next submission has the same number, in every view."""
    _judge(store, send(store), report_on)
    failed = send(store)
    _judge(store, failed, report_on, verdict=Verdict.INTERNAL_ERROR, tests=[])
    assert store.report(None, "ada").attempt == 2
    again = send(store)
    assert again.attempt == 2
    assert [line.attempt for line in store.history("ada", "softmax", 10)] == [2, 2, 1]
    rejudged = store.rejudge(failed.submission)
    _judge(store, rejudged, report_on)
    assert [line.attempt for line in store.history("ada", "softmax", 10)] == [3, 2, 1]
    assert store.rejudge(again.submission).attempt == 3


def test_history_is_the_newest_first_and_limited(store, send):
    """The limit drops the oldest and does not change the numbers."""
    sent = [send(store) for _ in range(5)]
    send(store, learner="bob")
    send(store, exercise="adam")
    lines = store.history("ada", "softmax", 2)
    assert [(line.attempt, line.submission) for line in lines] == [(5, sent[4].submission), (4, sent[3].submission)]
    assert store.history("eve", "softmax", 10) == []


def test_a_rejudge_adds_a_judging(store, send, report_on):
    """Same submission, version and seed; the last verdict stands, the first stays readable."""
    first = send(store)
    _judge(store, first, report_on)
    second = store.rejudge(first.submission)
    assert (second.submission, second.attempt) == (first.submission, 1)
    assert second.judging != first.judging
    assert store.report(first.submission, "ada").judging == first.judging
    claim = store.claim(second.judging, me(), LONG)
    assert (claim.version, claim.seed, claim.source) == ("v1", "seed 1", b"def softmax(x): ...\n")
    assert store.finish(claim, report_on(claim, verdict=Verdict.ACCEPTED))
    assert store.report(first.submission, "ada").verdict is Verdict.ACCEPTED
    assert store.report(first.judging, "ada").verdict is Verdict.WRONG_ANSWER
    assert [line.judging for line in store.history("ada", "softmax", 10)] == [second.judging]


def test_a_rejudge_can_have_another_seed(store, send):
    """Fresh inputs on request."""
    queued = store.rejudge(send(store).submission, seed="seed 2")
    assert store.claim(queued.judging, me(), LONG).seed == "seed 2"


def test_a_failed_rejudge_leaves_the_verdict(store, send, report_on):
    """Our fault on a rejudge neither replaces the verdict nor gives the attempt back."""
    first = send(store)
    _judge(store, first, report_on)
    second = store.rejudge(first.submission)
    _judge(store, second, report_on, verdict=Verdict.INTERNAL_ERROR, tests=[])
    assert store.report(first.submission, "ada").verdict is Verdict.WRONG_ANSWER
    assert store.report(second.judging, "ada").verdict is Verdict.INTERNAL_ERROR
    assert send(store).attempt == 2


def test_a_judging_is_stored_with_the_version_that_judged(rows, store, send, report_on):
    """If the exercise has changed while the judging waited, the report tells against what it was judged."""
    queued = send(store)
    _judge(store, queued, report_on, exercise_version="v2", max_score=4.0)
    assert store.report(None, "ada").exercise_version == "v2"
    columns = (ExerciseVersion.version, ExerciseVersion.title, ExerciseVersion.max_score)
    assert sorted(rows(*columns), key=str) == [("v1", "Softmax", None), ("v2", "Softmax", 4.0)]


def test_the_latest_submission_is_reported(store, send, report_on):
    """Whatever the exercise; an older one that was judged later does not come before it."""
    old, new = send(store), send(store, exercise="adam")
    _judge(store, new, report_on)
    _judge(store, old, report_on)
    assert store.report(None, "ada").judging == new.judging


def test_a_given_up_report_knows_the_full_score(store, send, report_on):
    """Where an earlier judging of that version told the full score, 0 of it is shown."""
    _judge(store, send(store), report_on)
    claim = store.claim(send(store).judging, me(), LONG)
    assert store.give_up(claim, "")
    report = store.report(None, "ada")
    assert (report.score, report.max_score) == (0.0, 3.5)
    assert report.usage == Usage()
    assert report.environment == Environment(grader=report.environment.grader, engine="")


@pytest.mark.parametrize("which", ["s_nothing", "j_nothing", "", "%", "nothing' OR 1=1 --", "s_\udcff", "\0"])
def test_an_unknown_id_is_told(store, send, which):
    """E5101, with the command that lists what there is."""
    send(store)
    for ask in (store.source, store.rejudge, lambda which: store.report(which, "ada")):
        with pytest.raises(NotFound) as caught:
            ask(which)
        assert caught.value.code == "E5101"
        assert "grader history" in caught.value.hint
    with pytest.raises(NotFound):
        store.claim(which, me(), LONG)


def test_somebody_elses_report_is_as_unknown_as_none(store, send, report_on):
    """The error does not tell whether the id exists."""
    queued = send(store)
    _judge(store, queued, report_on)
    for which in (queued.submission, queued.judging):
        with pytest.raises(NotFound) as caught:
            store.report(which, "bob")
        assert caught.value.code == "E5101"


def test_nothing_sent_is_told(store, send):
    """A learner without any submission hears how to send one."""
    send(store)
    with pytest.raises(NotFound) as caught:
        store.report(None, "bob")
    assert caught.value.code == "E5102"
    assert "grader submit" in caught.value.hint


def test_a_judging_without_a_report_is_told(store, send):
    """Queued or running: E5103 says which."""
    queued = send(store)
    for which in (None, queued.submission, queued.judging):
        with pytest.raises(NotFound) as caught:
            store.report(which, "ada")
        assert caught.value.code == "E5103"
        assert "queued" in caught.value.cause
    store.claim(queued.judging, me(), LONG)
    with pytest.raises(NotFound) as caught:
        store.report(None, "ada")
    assert "running" in caught.value.cause


def test_an_overruling_is_one_more_judging_that_says_why(store, send, report_on):
    """It has the seed of the violation, is claimed as overruled, and its report tells who, when and why."""
    queued = send(store)
    _judge(store, queued, report_on, verdict=Verdict.POLICY_VIOLATION)
    assert not store.overruled(queued.submission)
    again = store.overrule(queued.submission, staff="grace", reason="a slip of ours")
    assert store.overruled(queued.submission)
    claim = store.claim(again.judging, me(), LONG)
    assert (claim.seed, claim.overruled) == ("seed 1", True)
    assert store.finish(claim, report_on(claim, verdict=Verdict.ACCEPTED))
    report = store.report(queued.submission, "ada")
    assert (report.judging, report.verdict) == (again.judging, Verdict.ACCEPTED)
    assert (report.overruled.by, report.overruled.reason) == ("grace", "a slip of ours")
    assert abs(dt.datetime.now(dt.UTC) - report.overruled.at) < dt.timedelta(minutes=1)
    assert store.report(queued.judging, "ada").overruled is None


def test_an_overruling_holds_for_later_judgings(store, send, report_on):
    """A rejudge of an overruled submission waives the policy too, for the same reason."""
    queued = send(store)
    _judge(store, queued, report_on, verdict=Verdict.POLICY_VIOLATION)
    first = store.overrule(queued.submission, staff="grace", reason="a slip of ours")
    _judge(store, first, report_on, verdict=Verdict.INTERNAL_ERROR)
    again = store.rejudge(queued.submission)
    _judge(store, again, report_on)
    assert store.report(again.judging, "ada").overruled == store.report(first.judging, "ada").overruled


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.PROTOCOL_VIOLATION, Verdict.INTERNAL_ERROR])
def test_only_a_violation_of_the_policy_is_overruled(verdict, store, send, report_on):
    """Any other verdict, or a judging under way, is refused and queues nothing."""
    queued = send(store)
    with pytest.raises(UsageError) as error:
        store.overrule(queued.submission, staff="grace", reason="early")
    assert error.value.code == "E2115"
    _judge(store, queued, report_on, verdict=verdict)
    with pytest.raises(UsageError) as error:
        store.overrule(queued.submission, staff="grace", reason="other")
    assert error.value.code == "E2115"
    assert store.unfinished() == []


def test_a_violation_is_overruled_once(store, send, report_on):
    """While the judging that overrules waits, and when it has passed, there is nothing left to overrule."""
    queued = send(store)
    _judge(store, queued, report_on, verdict=Verdict.POLICY_VIOLATION)
    again = store.overrule(queued.submission, staff="grace", reason="first")
    for _ in range(2):
        with pytest.raises(UsageError) as error:
            store.overrule(queued.submission, staff="grace", reason="second")
        assert error.value.code == "E2115"
        if store.report(queued.submission, "ada").overruled is None:
            _judge(store, again, report_on, verdict=Verdict.ACCEPTED)


def test_an_unknown_submission_cannot_be_overruled(store):
    """It is told as anywhere else."""
    for ask in (lambda: store.overrule("s_none", staff="grace", reason="why"), lambda: store.learner("s_none")):
        with pytest.raises(NotFound) as error:
            ask()
        assert error.value.code == "E5101"


def test_an_overruling_without_a_reason_is_refused_whole(rows, store, send, report_on):
    """Neither the overruling nor its judging is kept."""
    queued = send(store)
    _judge(store, queued, report_on, verdict=Verdict.POLICY_VIOLATION)
    with pytest.raises(IntegrityError, match="reason_given"):
        store.overrule(queued.submission, staff="grace", reason=" ")
    assert store.unfinished() == []
    assert rows(Overruling.judging_id) == []


@pytest.mark.parametrize("change", ["UPDATE overrulings SET reason = 'another'", "DELETE FROM overrulings"])
def test_an_overruling_cannot_be_changed(change, rows, execute, store, send, report_on):
    """The database itself refuses, whatever program asks."""
    queued = send(store)
    _judge(store, queued, report_on, verdict=Verdict.POLICY_VIOLATION)
    store.overrule(queued.submission, staff="grace", reason="why")
    with pytest.raises(IntegrityError, match="an overruling is immutable"):
        execute(change)
    assert rows(Overruling.reason) == [("why",)]


def test_a_submission_cannot_be_changed(store, send, execute):
    """The database itself refuses, whatever program asks."""
    send(store)
    with pytest.raises(IntegrityError, match="a submission is immutable"):
        execute("UPDATE submissions SET filename = 'other.py'")
    assert store.history("ada", "softmax", 1)[0].filename == "softmax.py"


@pytest.mark.parametrize("change", ["status = 'done'", "verdict = 'accepted'", "status = 'lost'"])
def test_a_judging_cannot_be_half_written(change, store, send, execute):
    """Done without a verdict, or a verdict without being done, does not exist in the database."""
    send(store)
    with pytest.raises(IntegrityError, match=r"(?i)check constraint"):
        execute(f"UPDATE judgings SET {change}")  # noqa: S608  three literals of this test
