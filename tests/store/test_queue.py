"""A service's queue: the outbox, fairness, phases, lost workers, and requests that come twice."""

import contextlib
import datetime as dt

import msgspec
import pytest
from sqlalchemy import func

from grader.errors import LimitReached, NotFound, UsageError
from grader.owner import me
from grader.store import LOST_TRIES
from grader.store.models import Best, Judging, Learner, Outbox, Request, Source, Submission
from grader.verdict import Verdict

LONG = 600.0
OVER = -1.0
"""A lease that has run out when it begins: tests need not wait."""


TAKE = """
import sys
from grader.owner import me
from grader.store import open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
while claim := store.claim_next("cpu", me(), 600.0):
    print(claim.judging, flush=True)
store.close()
"""


@pytest.fixture
def add(store, send):
    """Return a factory: submit something for the workers of a queue; returns the judging."""

    def submit(learner="ada", queue="cpu", **changes):
        return send(store, learner=learner, queue=queue, **changes).judging

    return submit


def _line(store, limit=100):
    return [message.judging for message in store.due(limit, LONG)]


def test_what_a_worker_is_to_judge_waits_in_its_queue(store, add, send):
    """Nobody looks after it as after an embedded one: no start of the command line takes it up."""
    first, second, third = add(), add(queue="gpu"), add(learner="bob")
    embedded = send(store, learner="eve").judging
    store.release(store.claim(embedded, me(), LONG))
    assert store.waiting() == {"cpu": 2, "gpu": 1}
    assert {(message.judging, message.queue) for message in store.due(100, LONG)} == {
        (first, "cpu"),
        (second, "gpu"),
        (third, "cpu"),
    }
    assert store.unfinished() == [embedded]


def test_what_waits_can_be_cancelled(store, add, send, report_on, rows):
    """It leaves the line, has a verdict of its own, and is no attempt; once is enough."""
    add(learner="bob")
    sent = send(store, queue="cpu")
    assert store.cancel(sent.submission)
    assert not store.cancel(sent.submission)
    assert store.waiting() == {"cpu": 1}
    report = store.report(None, "ada")
    assert (report.verdict, report.score, report.judging) == (Verdict.CANCELLED, 0.0, sent.judging)
    assert report.message == "It was cancelled before it was judged. No attempt was used."
    assert list(store.progress(sent.judging).phases) == ["received", "queued", "stored"]
    assert store.claim(sent.judging, me(), LONG) is None
    again = send(store, queue="cpu", in_flight=1)
    assert again.attempt == 1
    assert rows(Best.learner_id) == []
    assert [(line.attempt, line.verdict) for line in store.history("ada", "softmax", 5)] == [
        (1, None),
        (1, Verdict.CANCELLED),
    ]
    rejudged = store.rejudge(sent.submission, queue="cpu")  # staff may all the same: then it is an attempt
    claim = store.claim(rejudged.judging, me(), LONG)
    assert store.finish(claim, report_on(claim))
    assert store.report(sent.submission, "ada").verdict is Verdict.WRONG_ANSWER
    assert store.submission(again.submission).attempt.attempt == 2


def test_what_a_worker_has_taken_cannot_be_cancelled(store, send, report_on):
    """Nor what it has put back, nor what is judged again, nor what is judged: code has run, and may have learnt."""
    sent = send(store, queue="cpu")
    claim = store.claim(sent.judging, me(), LONG)

    def refused():
        with pytest.raises(UsageError) as caught:
            store.cancel(sent.submission)
        assert caught.value.code == "E2126"
        return caught.value.cause

    assert refused() == f"its judging {sent.judging} has begun"
    store.release(claim)
    assert "has begun" in refused()
    claim = store.claim(sent.judging, me(), LONG)
    store.finish(claim, report_on(claim))
    assert refused() == f"its judging {sent.judging} is done"
    store.rejudge(sent.submission, queue="cpu")
    assert "has begun" in refused()
    with pytest.raises(NotFound, match="no submission"):
        store.cancel("s_unknown")


def test_of_a_worker_and_a_cancellation_one_is_first(store, where, send, child):
    """Whoever is second finds it gone: each is judged or cancelled, none both."""
    sent = [send(store, queue="cpu", learner=f"l{number}") for number in range(40)]
    worker = child(TAKE, where)
    worker.stdin.write("go\n")
    worker.stdin.flush()
    cancelled = []
    for each in reversed(sent):
        with contextlib.suppress(UsageError):
            store.cancel(each.submission)
            cancelled.append(each.judging)
    taken = worker.communicate(timeout=60)[0].split()
    assert sorted(taken + cancelled) == sorted(each.judging for each in sent)


def test_a_row_waits_exactly_while_its_judging_is_queued(store, add, rows, report_on):
    """Gone with the claim, there again after a release, gone for good with the second claim."""
    judging = add()
    claim = store.claim(judging, me(), LONG)
    assert rows(Outbox.judging_id) == []
    assert store.release(claim)
    assert rows(Outbox.judging_id) == [(judging,)]
    again = store.claim(judging, me(), LONG)
    assert rows(Outbox.judging_id) == []
    assert store.finish(again, report_on(again))
    assert rows(Outbox.judging_id) == []


def test_a_message_is_due_until_it_is_sent_and_again_when_it_must_be_lost(store, add):
    """Sent ones come up again once they are older than asked for."""
    first, second = add(), add(learner="bob")
    assert _line(store) == [first, second]
    store.sent([first, "j_unknown"])
    assert _line(store) == [second]
    assert [message.judging for message in store.due(100, 0.0)] == [first, second]
    store.sent([])
    assert _line(store, limit=1) == [second]


def test_a_released_judging_is_due_at_once_in_its_old_place(store, add):
    """It has waited already; its message has been taken."""
    first, _ = add(), add(learner="bob")
    store.sent([first])
    store.release(store.claim(first, me(), LONG))
    assert _line(store)[0] == first


def test_the_line_is_fair(store, add):
    """Priority first; then everybody's first, everybody's second, and so on; among these the oldest."""
    a1, a2, a3 = add("ada"), add("ada"), add("ada")
    b1, b2 = add("bob"), add("bob")
    c1 = add("cyd", priority=5)
    a4 = add("ada", priority=5)
    assert _line(store) == [c1, a4, a1, b1, a2, b2, a3]
    assert [store.position(judging) for judging in (c1, a4, a1, b1, a2, b2, a3)] == list(range(7))


def test_nobody_waits_behind_all_that_another_sent_before(store, add):
    """Whoever comes late to a long line of one learner is next but one, also when most of it is served already."""
    many = [add("ada") for _ in range(20)]
    b1 = add("bob")
    served = [store.claim_next("cpu", me(), LONG).judging for _ in range(10)]
    assert served == [many[0], b1, *many[1:9]]
    c1, b2, b3 = add("cyd"), add("bob"), add("bob")
    assert _line(store) == [many[9], c1, b2, many[10], b3, *many[11:]]


def test_what_waits_again_is_next(store, add):
    """A judging that comes back, from however far behind its learner's others it was taken, had its turn."""
    a1, a2, b1 = add("ada"), add("ada"), add("bob")
    store.release(store.claim(a2, me(), LONG))
    assert _line(store) == [a1, a2, b1]


def test_sent_messages_keep_their_turn(store, add):
    """That two of hers are already with the workers does not make a learner's third her first."""
    a1, a2, a3 = add("ada"), add("ada"), add("ada")
    store.sent([a1, a2])
    b1 = add("bob")
    assert _line(store) == [b1, a3]


def test_the_position_counts_its_own_queue_alone(store, add):
    """Whoever waits for a GPU is not behind those who wait for a core; what does not wait has no place."""
    add()
    gpu = add(queue="gpu")
    late = add("bob")
    assert (store.position(gpu), store.position(late), store.position("j_unknown")) == (0, 1, None)
    claimed = add("eve")
    store.claim(claimed, me(), LONG)
    assert store.position(claimed) is None


def test_a_lost_worker_is_swept(store, add, rows):
    """The lease is over: queued again, one more lost, a row in the outbox; the old claim is worth nothing."""
    judging, held = add(), add("bob")
    old = store.claim(judging, me(), OVER)
    store.claim(held, me(), LONG)
    swept = store.sweep()
    assert (swept.requeued, swept.given_up) == ([judging], [])
    assert _line(store) == [judging]
    assert (store.note(old, "ready"), store.extend(old, LONG), store.release(old)) == (False, False, False)
    assert sorted(rows(Judging.lost, Judging.status)) == [(0, "running"), (1, "queued")]
    assert store.sweep().requeued == []
    assert store.claim(judging, me(), LONG).lost == 1


def test_a_worker_lost_three_times_is_our_fault(store, add, rows):
    """The third lost lease ends it: internal_error, a log for staff, no attempt used, nothing waits."""
    judging = add()
    for lost in range(LOST_TRIES):
        claim = store.claim(judging, me(), OVER)
        assert claim.lost == lost
        swept = store.sweep()
    assert (swept.requeued, swept.given_up) == ([], [judging])
    report = store.report(judging, "ada")
    assert (report.verdict, report.attempt) == (Verdict.INTERNAL_ERROR, 1)
    assert "3 times" in report.log
    assert rows(Outbox.judging_id) == []
    assert store.claim(judging, me(), LONG) is None
    assert add() != judging
    assert store.history("ada", "softmax", 1)[0].attempt == 1


def test_a_dead_worker_on_this_machine_is_swept_before_its_lease_ends(store, add):
    """Where it can be known that the process is gone, nobody waits."""
    judging = add()
    *world, start = me().split(":")
    store.claim(judging, ":".join([*world, str(int(start) - 1)]), LONG)
    assert store.sweep().requeued == [judging]


def test_embedded_judgings_are_not_swept(store, send):
    """They have no workers; the next start of the command line finds them."""
    queued = send(store)
    store.claim(queued.judging, me(), OVER)
    assert store.sweep().requeued == []
    assert store.unfinished() == [queued.judging]


def test_every_phase_has_its_moment(store, add, report_on):
    """In the order in which they came, from the moment that the server had the request."""
    received = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=3)
    judging = add(received_at=received)
    claim = store.claim(judging, me(), LONG)
    assert store.note(claim, "ready")
    assert store.note(claim, "judged")
    assert store.finish(claim, report_on(claim))
    progress = store.progress(judging)
    assert list(progress.phases) == ["received", "queued", "claimed", "ready", "judged", "stored"]
    moments = list(progress.phases.values())
    assert moments == sorted(moments)
    assert moments[0] == received
    assert (progress.learner, progress.exercise, progress.queue) == ("ada", "softmax", "cpu")
    assert (progress.status, progress.verdict) == ("done", Verdict.WRONG_ANSWER)


def test_a_second_try_begins_its_phases_anew(store, add):
    """When it was received stays; what a lost worker had reached does not."""
    judging = add()
    claim = store.claim(judging, me(), OVER)
    store.note(claim, "ready")
    before = store.progress(judging).phases
    store.sweep()
    after = store.progress(judging).phases
    assert list(after) == ["received", "queued"]
    assert after["received"] == before["received"]
    assert after["queued"] > before["queued"]


def test_a_report_without_a_word_on_its_phases_has_them_too(store, send, report_on):
    """Whoever judges need not note anything: the end of the judging is when it is stored."""
    queued = send(store)
    claim = store.claim(queued.judging, me(), LONG)
    assert store.finish(claim, report_on(claim))
    assert list(store.progress(queued.judging).phases) == ["received", "queued", "claimed", "judged", "stored"]


def test_the_progress_of_an_unknown_judging_is_told(store):
    """E5101, as everywhere."""
    with pytest.raises(NotFound) as caught:
        store.progress("j_unknown")
    assert caught.value.code == "E5101"


def test_a_repeated_request_stores_nothing(store, send, rows):
    """Same key, same body: what was stored the first time comes back, also after another submission."""
    first = send(store, queue="cpu", key="k", body_sha256="b")
    assert first.replayed is False
    send(store, queue="cpu", key="another", body_sha256="b")
    again = send(store, queue="cpu", key="k", body_sha256="b")
    assert (again.submission, again.judging, again.attempt, again.replayed) == (
        first.submission,
        first.judging,
        1,
        True,
    )
    assert rows(func.count(Submission.id)) == rows(func.count(Outbox.judging_id)) == [(2,)]


def test_a_repeated_request_returns_its_first_judging(store, send, report_on):
    """Even when the submission has been judged again since."""
    first = send(store, queue="cpu", key="k", body_sha256="b")
    claim = store.claim(first.judging, me(), LONG)
    store.finish(claim, report_on(claim))
    store.rejudge(first.submission, queue="cpu")
    assert send(store, key="k", body_sha256="b").judging == first.judging


def test_a_key_with_another_body_is_refused(store, send, rows):
    """E2117 names the key and what it stands for; nothing is stored, no source, no learner."""
    first = send(store, key="k", body_sha256="b")
    with pytest.raises(UsageError) as caught:
        send(store, key="k", body_sha256="c", source=b"other")
    assert caught.value.code == "E2117"
    assert "'k'" in caught.value.what
    assert first.submission in caught.value.cause
    assert [len(rows(column)) for column in (Submission.id, Source.sha256, Request.key)] == [1, 1, 1]


def test_keys_are_each_learners_own(store, send, rows):
    """Another learner's key says nothing about mine; without a key nothing is kept about the request."""
    first, second = send(store, key="k", body_sha256="b"), send(store, learner="bob", key="k", body_sha256="b")
    assert first.submission != second.submission
    send(store)
    assert len(rows(Request.key)) == 2
    assert len(rows(Learner.id)) == 2


def test_a_rejudge_and_an_overruling_wait_in_a_queue_too(store, send, report_on):
    """Staff of a service judge nothing in the web's own process."""
    queued = send(store, queue="cpu")
    claim = store.claim(queued.judging, me(), LONG)
    store.finish(claim, report_on(claim, verdict=Verdict.POLICY_VIOLATION))
    again = store.rejudge(queued.submission, queue="cpu", priority=-1)
    assert store.waiting() == {"cpu": 1}
    claim = store.claim(again.judging, me(), LONG)
    store.finish(claim, report_on(claim, verdict=Verdict.POLICY_VIOLATION))
    overruled = store.overrule(queued.submission, staff="grace", reason="why", queue="gpu")
    assert [(message.judging, message.queue) for message in store.due(9, LONG)] == [(overruled.judging, "gpu")]


def test_the_next_is_the_first_in_its_line(store, add):
    """Priority, turn, age; what this worker cannot judge is passed over and keeps its place."""
    a1, a2 = add("ada"), add("ada")
    b1 = add("bob", exercise="adam")
    add("bob", queue="gpu")
    assert store.claim_next("cpu", me(), LONG, without=["softmax"]).judging == b1
    assert store.claim_next("cpu", me(), LONG).judging == a1
    assert store.claim_next("cpu", me(), LONG, without={"softmax", "adam"}) is None
    claim = store.claim_next("cpu", me(), LONG)
    assert (claim.judging, claim.token, claim.source) == (a2, 1, b"def softmax(x): ...\n")
    assert store.claim_next("cpu", me(), LONG) is None
    assert store.waiting() == {"gpu": 1}


def test_many_that_ask_for_the_next_get_each_another(store, where, add, child):
    """Four processes empty one queue: every judging goes to exactly one, and none stops while another waits."""
    judgings = [add(f"learner {number}") for number in range(40)]
    processes = [child(TAKE, where) for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert sorted(taken) == sorted(judgings)


def test_the_line_tells_every_position(store, add):
    """As `position` tells each, queue by queue."""
    judgings = [add("ada"), add("bob"), add("ada"), add("ada", queue="gpu"), add("cyd", priority=1)]
    assert store.line() == {judging: store.position(judging) for judging in judgings}
    assert sorted(store.line().values()) == [0, 0, 1, 2, 3]


def test_metrics_are_counted(store, send, add, report_on):
    """Since when the longest waits, by queue; how many judgings ended how."""
    assert (store.oldest(), store.verdicts()) == ({}, {})
    first, _, third = add(), add(), add(queue="gpu")
    assert store.oldest() == {
        "cpu": store.progress(first).phases["queued"],
        "gpu": store.progress(third).phases["queued"],
    }
    claim = store.claim(first, me(), LONG)
    store.finish(claim, report_on(claim))
    assert store.verdicts() == {Verdict.WRONG_ANSWER: 1}


def test_many_judgings_are_watched_at_once(store, add):
    """Each as `progress` tells it; an unknown one is left out."""
    judgings = [add(), add("bob")]
    found = store.watch([*judgings, "j_unknown"])
    assert sorted(found, key=lambda each: each.judging) == [store.progress(judging) for judging in sorted(judgings)]
    assert store.watch([]) == []


def test_a_submission_is_shown_with_all_its_judgings(store, send, report_on):
    """The oldest first, each with its version and phases; the attempt tells of the one that stands."""
    queued = send(store, queue="cpu")
    claim = store.claim(queued.judging, me(), LONG)
    store.finish(claim, report_on(claim, exercise_version="v2"))
    again = store.rejudge(queued.submission, queue="gpu")
    filed = store.submission(queued.submission)
    (line,) = store.history("ada", "softmax", 1)
    assert (filed.learner, filed.exercise) == ("ada", "softmax")
    assert (filed.attempt, line.others) == (msgspec.structs.replace(line, others=[]), filed.judgings[1:])
    assert [(each.judging, each.ordinal, each.status, each.queue, each.version) for each in filed.judgings] == [
        (queued.judging, 1, "done", "cpu", "v2"),
        (again.judging, 2, "queued", "gpu", "v2"),
    ]
    assert filed.judgings[0].phases == store.progress(queued.judging).phases
    assert (filed.judgings[0].verdict, filed.judgings[0].score) == (Verdict.WRONG_ANSWER, 2.0)
    with pytest.raises(NotFound):
        store.submission("s_unknown")


def test_a_learner_has_a_number_of_judgings_in_flight(store, send, report_on):
    """E6107 at the next, of whatever exercise; free again with a verdict. A repeated request is none more."""
    first = send(store, queue="cpu", in_flight=2, key="k", body_sha256="b")
    send(store, queue="gpu", in_flight=2, exercise="adam")
    with pytest.raises(LimitReached) as caught:
        send(store, queue="cpu", in_flight=2)
    assert caught.value.code == "E6107"
    assert send(store, queue="cpu", in_flight=2, key="k", body_sha256="b").replayed
    send(store, queue="cpu", in_flight=2, learner="bob")
    claim = store.claim(first.judging, me(), LONG)
    with pytest.raises(LimitReached):
        send(store, queue="cpu", in_flight=2)
    store.finish(claim, report_on(claim))
    assert send(store, queue="cpu", in_flight=2).attempt == 2
    assert len(store.history("ada", "softmax", 9)) == 2
