"""The store: submissions go in, judgings are claimed and finished, reports come out.

Each method is one transaction. What it returns is plain data; no session or row leaves it.
"""

import datetime as dt
import hashlib
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Engine, and_, func, select
from sqlalchemy.orm import Session

from grader.errors import LimitReached, NotFound, Pending, UsageError
from grader.owner import me
from grader.records import (
    Attempt,
    Candidate,
    Claim,
    Fault,
    Filed,
    Judged,
    Line,
    Message,
    Place,
    Progress,
    Queued,
    Sent,
    Swept,
)
from grader.regrade import Change, Regrading
from grader.report import Report
from grader.store import admission, outbox, reads, regrades, writes
from grader.store.ids import new_id
from grader.store.models import (
    ExerciseVersion,
    Judging,
    Learner,
    Outcome,
    Overruling,
    Regrade,
    Request,
    Source,
    Submission,
)
from grader.store.reads import attempt_of, overruling, standing, to_report
from grader.verdict import Verdict

LOST_TRIES = 3
"""A judging whose holder was lost this many times is given up."""

_MOMENT_SECONDS = 1.0
_HAS_BEGUN = "`grader watch ID` waits for its verdict; another file can be submitted at any time"

REGRADES_WAITING = 1000
"""How many judgings of a regrade wait at most: the line stays short, and the sweep queues more every half minute."""


class Store:
    """What was sent and how it was judged; made by `open_store`."""

    def __init__(self, engine: Engine, faults: Callable[[], AbstractContextManager[None]]) -> None:
        """`faults` turns the database's errors into ours, around each transaction."""
        self._engine = engine
        # PostgreSQL shows each statement what is committed by then, with or without a transaction around them; BEGIN
        # and COMMIT are questions of their own to it, and a request that only reads would wait for them.
        own = {"isolation_level": "AUTOCOMMIT"} if engine.dialect.name == "postgresql" else {}
        self._engines = {False: engine.execution_options(**own), True: engine.execution_options(writes=True)}
        self._faults = faults
        self._joint = threading.local()

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Session]:
        """Open a session, committed at the end unless an error leaves it; within `together`, its session."""
        joint: Session | None = getattr(self._joint, "session", None)
        if joint is not None:
            yield joint
            return
        with (
            self._faults(),
            Session(self._engines[writes], autoflush=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of all that this thread does with the store within: an act, and its line in the audit.

        Unless an error leaves it, all of it is kept.
        """
        with self.transaction(writes=True) as session:
            self._joint.session = session
            try:
                yield
            finally:
                self._joint.session = None

    def close(self) -> None:
        """Close the connections that are open; the store can still be used, and opens new ones."""
        self._engine.dispose()

    def add_submission(  # noqa: PLR0913  what was sent, each part by its name
        self,
        *,
        learner: str,
        exercise: str,
        version: str,
        title: str,
        filename: str,
        source: bytes,
        seed: str,
        device: str = "",
        queue: str = "",
        priority: int = 0,
        key: str = "",
        body_sha256: str = "",
        received_at: dt.datetime | None = None,
        in_flight: int = 0,
    ) -> Queued:
        """Keep what was sent, for good, and queue its first judging.

        It waits for a worker of `queue`, a higher `priority` first; without a queue this very process
        is to claim it. With a `key` that the learner has used before, nothing is stored and the earlier
        submission is returned. `in_flight`, unless 0, is how many judgings of a service a learner may
        have that are not done. `received_at` decides whether an assignment takes it; now, if left out.

        Raises:
            UsageError: E2117 the key was used for another body.
            LimitReached: E6107 that many are not done yet; E6201 to E6204 no assignment takes it.

        """
        sha256 = hashlib.sha256(source).hexdigest()
        with self.transaction(writes=True) as session:
            learner_id = writes.learner(session, learner)
            if key and (request := session.get(Request, (learner_id, key))) is not None:
                return writes.replayed(session, request, body_sha256)
            if in_flight and reads.in_flight(session, learner_id) >= in_flight:
                raise _too_many(in_flight)
            now = writes.now_of(session)  # after any wait for the learner: ordinals and moments agree
            sent_at = min(received_at or now, now)
            assignments = admission.admit(session, learner_id, exercise, sent_at)
            version_id = writes.version_id(session, exercise, version, title, now)
            if session.scalar(select(Source.sha256).where(Source.sha256 == sha256)) is None:
                writes.add_new(session, Source, sha256=sha256, content=source)
            earlier = and_(Submission.learner_id == learner_id, Submission.exercise == exercise)
            submission = Submission(
                id=new_id("s"),
                learner_id=learner_id,
                exercise=exercise,
                ordinal=1 + (session.scalar(select(func.max(Submission.ordinal)).where(earlier)) or 0),
                filename=filename,
                sha256=sha256,
                created_at=now,
                device=device,
            )
            # What a row points to goes first: the models have no relationships to sort them by.
            session.flush()
            session.add(submission)
            session.flush()
            admission.enter(session, submission, assignments, sent_at)
            if key:
                session.add(
                    Request(
                        learner_id=learner_id,
                        key=key,
                        body_sha256=body_sha256,
                        submission_id=submission.id,
                        created_at=now,
                    )
                )
            judging = writes.new_judging(submission, version_id, 1, seed, queue, priority)
            writes.enqueue(session, judging, now, received_at or now)
            return writes.to_queued(session, submission, judging)

    def replay(self, learner: str, key: str, body_sha256: str) -> Queued | None:
        """Return what was stored under a learner's key, if anything was. Raises UsageError E2117."""
        query = select(Request).join(Learner, Learner.id == Request.learner_id)
        with self.transaction(writes=False) as session:
            request = session.scalar(query.where(Learner.name == learner, Request.key == key))
            return None if request is None else writes.replayed(session, request, body_sha256)

    def rejudge(self, submission: str, *, seed: str | None = None, queue: str = "", priority: int = 0) -> Queued:
        """Queue one more judging of a submission, against the version it was judged by last.

        With the seed of that judging, unless another is given, the verdict must come out the same; where
        the policy was overruled, it stays so.

        Raises:
            NotFound: E5101 no such submission.

        """
        with self.transaction(writes=True) as session:
            row, last = writes.last_judging(session, submission)
            judging = writes.judge_again(
                session,
                row,
                last,
                version_id=last.exercise_version_id,
                seed=seed or "",
                queue=queue,
                priority=priority,
            )
            return writes.to_queued(session, row, judging)

    def overrule(self, submission: str, *, staff: str, reason: str, queue: str = "", priority: int = 0) -> Queued:
        """Queue one more judging, with the seed and version of the last, that waives the policy.

        Raises:
            NotFound: E5101 no such submission.
            UsageError: E2115 the judging that speaks for it is no policy violation, or another is under way.

        """
        with self.transaction(writes=True) as session:
            row, last = writes.last_judging(session, submission)
            speaks = session.scalars(
                select(Judging)
                .join(Submission, Submission.id == Judging.submission_id)
                .where(Submission.id == submission, Judging.id == standing())
            ).one()
            if last.status != "done" or speaks.verdict != Verdict.POLICY_VIOLATION.value:
                raise UsageError(
                    "E2115",
                    f"submission {submission} has no policy violation to overrule",
                    cause=f"its judging {last.id} is {last.status}" if last.status != "done" else f"{speaks.verdict}",
                    hint="`grader rejudge` judges it again as it is",
                )
            now = writes.now_of(session)
            judging = writes.new_judging(
                row, speaks.exercise_version_id, last.ordinal + 1, speaks.seed, queue, priority
            )
            writes.enqueue(session, judging, now, now)
            writes.overrule(session, judging, staff, reason, now)
            return writes.to_queued(session, row, judging)

    def overruled(self, submission: str) -> bool:
        """Tell whether a submission is judged without the policy from now on."""
        with self.transaction(writes=False) as session:
            return overruling(session, submission) is not None

    def cancel(self, submission: str) -> bool:
        """Withdraw a submission that waits for its first judging: its verdict is `cancelled`, and it uses no attempt.

        Of a service, once a worker has taken it it is an attempt: or whoever cancels in time could run code against
        the hidden tests for nothing. Where this machine judges, what was interrupted can be withdrawn too, rejudgings
        included. False for what was cancelled already.

        Raises:
            NotFound: E5101 no such submission.
            UsageError: E2126 it is judged, or being judged.

        """
        with self.transaction(writes=True) as session:
            _, last = writes.last_judging(session, submission)
            if last.verdict == Verdict.CANCELLED.value:
                return False
            begun = last.queue != "" and (last.tries > 0 or last.ordinal > 1)
            claim = None if begun else writes.claim(session, last, me(), _MOMENT_SECONDS)
            if claim is None:
                cause = f"its judging {last.id} {'is done' if last.status == 'done' else 'has begun'}"
                raise UsageError(
                    "E2126", f"submission {submission} can no longer be cancelled", cause=cause, hint=_HAS_BEGUN
                )
            return writes.end_unjudged(session, claim, Verdict.CANCELLED, "It was cancelled before it was judged.")

    def learner(self, submission: str) -> str:
        """Return whose submission it is.

        Raises:
            NotFound: E5101 no such submission.

        """
        query = select(Learner.name).join(Submission, Submission.learner_id == Learner.id)
        with self.transaction(writes=False) as session:
            name = session.scalar(query.where(Submission.id == submission))
        if name is None:
            raise writes.unknown(submission)
        return name

    def claim(self, judging: str, owner: str, lease_seconds: float) -> Claim | None:
        """Take a judging that is queued, or whose holder is dead or has let its lease run out.

        Returns None if another process holds it or it is done.

        Raises:
            NotFound: E5101 no such judging.

        """
        with self.transaction(writes=True) as session:
            row = session.get(Judging, judging)
            if row is None:
                raise writes.unknown(judging)
            return writes.claim(session, row, owner, lease_seconds)

    def claim_next(
        self, queue: str, owner: str, lease_seconds: float, *, without: Collection[str] = ()
    ) -> Claim | None:
        """Take the first judging in the line of a queue, of exercises that are not `without`; None if none waits."""
        with self.transaction(writes=True) as session:
            row = outbox.first(session, queue, without)
            return None if row is None else writes.claim(session, row, owner, lease_seconds)

    def extend(self, claim: Claim, lease_seconds: float) -> bool:
        """Hold on to a claim for that long from now; False if it is no longer ours."""
        with self.transaction(writes=True) as session:
            lease_until = writes.now_of(session) + dt.timedelta(seconds=lease_seconds)
            return writes.change(session, claim.judging, claim.token, {"lease_until": lease_until}, writes.RUNNING)

    def note(self, claim: Claim, phase: str) -> bool:
        """Note that a phase of a judging is reached now; False if the claim is no longer ours."""
        with self.transaction(writes=True) as session:
            phases = writes.held(session, claim)
            if phases is None:
                return False
            values = {"phases": phases | {phase: writes.now_of(session).isoformat()}}
            return writes.change(session, claim.judging, claim.token, values, writes.RUNNING)

    def release(self, claim: Claim) -> bool:
        """Put a judging back into the queue, for anyone; False if the claim is no longer ours."""
        with self.transaction(writes=True) as session:
            phases = writes.held(session, claim)
            if phases is None:
                return False
            return writes.requeue(session, claim.judging, claim.token, phases, writes.RUNNING)

    def finish(self, claim: Claim, report: Report) -> bool:
        """Store how a judging ended, whole or not at all; False if the claim is no longer ours.

        Where the report names another exercise version than the claim, it was judged against that
        one (the exercise has changed since it was sent), and so it is stored.
        """
        with self.transaction(writes=True) as session:
            return writes.finish(session, claim, report)

    def give_up(self, claim: Claim, log: str) -> bool:
        """End a judging that was lost too often with internal_error; it uses no attempt up."""
        with self.transaction(writes=True) as session:
            return writes.give_up(session, claim, log)

    def sweep(self) -> Swept:
        """Let a service's judgings whose holder was lost wait again, give up those lost too often, feed regrades."""
        swept = Swept(requeued=[], given_up=[])
        with self.transaction(writes=True) as session:
            now = writes.now_of(session)
            # In the order of ids, so that two that sweep at once do not wait for each other.
            running = select(Judging).where(writes.RUNNING, Judging.queue != "").order_by(Judging.id)
            for row in session.scalars(running).all():
                if not writes.is_lost(row, now):
                    continue
                lost = row.lost + 1
                unchanged = (writes.RUNNING, Judging.lease_until == row.lease_until)
                # Whoever came between has changed one of these, and this one is no longer lost.
                if not writes.change(session, row.id, row.tries, {"lost": lost}, *unchanged):
                    continue
                if lost >= LOST_TRIES:
                    claim = writes.to_claim(session, row, row.tries, lost)
                    writes.give_up(session, claim, f"its worker was lost {lost} times")
                    swept.given_up.append(row.id)
                else:
                    writes.requeue(session, row.id, row.tries, row.phases, writes.RUNNING)
                    swept.requeued.append(row.id)
            fed = regrades.under_way(session)
        for regrade in fed:
            self.feed(regrade, REGRADES_WAITING)
        return swept

    def due(self, limit: int, older_than_seconds: float) -> list[Message]:
        """Return at most `limit` messages to send: never sent, or so long ago that they must be lost.

        The highest priority comes first, then the first that each learner waits for, then everyone's
        second, and so on; among equals the oldest. That is also the order of `claim_next` and `position`.
        """
        with self.transaction(writes=False) as session:
            return outbox.due(session, limit, writes.now_of(session) - dt.timedelta(seconds=older_than_seconds))

    def sent(self, judgings: list[str]) -> None:
        """Note that the messages of these judgings went out."""
        with self.transaction(writes=True) as session:
            outbox.sent(session, judgings, writes.now_of(session))

    def position(self, judging: str) -> int | None:
        """Return how many judgings are before this one in its queue; None if it waits in none."""
        with self.transaction(writes=False) as session:
            return outbox.position(session, judging)

    def waiting(self) -> dict[str, int]:
        """Return how many judgings wait in each queue that has any."""
        with self.transaction(writes=False) as session:
            return outbox.waiting(session)

    def oldest(self) -> dict[str, dt.datetime]:
        """Return since when the longest has waited in each queue that has any."""
        with self.transaction(writes=False) as session:
            return outbox.oldest(session)

    def lines(self) -> list[Line]:
        """Return the queues that have any judging that waits or is being judged, by name."""
        count = select(Judging.queue, func.count()).where(writes.RUNNING, Judging.queue != "").group_by(Judging.queue)
        with self.transaction(writes=False) as session:
            waiting, oldest = outbox.waiting(session), outbox.oldest(session)
            running = {queue: number for queue, number in session.execute(count)}  # noqa: C416  rows have no type
        return [
            Line(queue=queue, waiting=waiting.get(queue, 0), oldest=oldest.get(queue), running=running.get(queue, 0))
            for queue in sorted(waiting.keys() | running.keys())
        ]

    def faults(self, limit: int) -> list[Fault]:
        """Return submissions to a service whose judging failed by our own fault, the newest first."""
        query = (
            select(Judging, Submission, Learner.name)
            .join(Submission, Submission.id == Judging.submission_id)
            .join(Learner, Learner.id == Submission.learner_id)
            .where(Judging.verdict == Verdict.INTERNAL_ERROR.value, Judging.id == standing(), Judging.queue != "")
            .order_by(Judging.finished_at.desc(), Judging.id.desc())
            .limit(limit)
        )
        with self.transaction(writes=False) as session:
            return [
                Fault(
                    judging=judging.id,
                    submission=submission.id,
                    exercise=submission.exercise,
                    learner=learner,
                    at=judging.finished_at or judging.created_at,
                    cause=(judging.log.strip().splitlines() or ["nothing is known"])[-1],
                )
                for judging, submission, learner in session.execute(query)
            ]

    def line(self) -> dict[str, int]:
        """Return the `position` of every judging that waits."""
        with self.transaction(writes=False) as session:
            return outbox.positions(session)

    def verdicts(self) -> dict[Verdict, int]:
        """Return how many judgings ended with each verdict that any has."""
        query = select(Judging.verdict, func.count()).where(Judging.verdict.is_not(None)).group_by(Judging.verdict)
        with self.transaction(writes=False) as session:
            return {Verdict(verdict): number for verdict, number in session.execute(query) if verdict}

    def progress(self, judging: str) -> Progress:
        """Return how far a judging is.

        Raises:
            NotFound: E5101 no such judging.

        """
        found = self.watch([judging])
        if not found:
            raise writes.unknown(judging)
        return found[0]

    def watch(self, judgings: list[str]) -> list[Progress]:
        """Return how far each of these judgings is; unknown ones are left out."""
        with self.transaction(writes=False) as session:
            return [reads.to_progress(row) for row in session.execute(reads.progress(), {"judgings": judgings})]

    def submission(self, submission: str) -> Filed:
        """Return a submission with all its judgings.

        Raises:
            NotFound: E5101 no such submission.

        """
        with self.transaction(writes=False) as session:
            found = session.execute(reads.filed(submission)).one_or_none()
            if found is None:
                raise writes.unknown(submission)
            row, judging, attempt, learner = found
            return Filed(
                learner=learner,
                exercise=row.exercise,
                device=row.device,
                attempt=reads.to_attempt(row, judging, attempt),
                judgings=[reads.to_judged(*each) for each in session.execute(reads.judgings([submission]))],
            )

    def unfinished(self) -> list[str]:
        """Return the judgings of no queue, oldest first, that are not done and that no process looks after."""
        pending = (
            select(Judging)
            .where(Judging.status.in_(["queued", "running"]), Judging.queue == "")
            .order_by(Judging.created_at, Judging.id)
        )
        with self.transaction(writes=False) as session:
            now = writes.now_of(session)
            return [row.id for row in session.scalars(pending) if writes.is_lost(row, now)]

    def report(self, which: str | None, learner: str) -> Report:
        """Return the report of a learner's judging or submission, or of the latest submission.

        A submission is spoken for by its last judging that did not end in internal_error.

        Raises:
            NotFound: E5101 no such id for this learner, E5102 nothing sent yet, E5103 not judged yet.

        """
        query = (
            select(Judging, Submission, ExerciseVersion.version)
            .join(Submission, Submission.id == Judging.submission_id)
            .join(ExerciseVersion, ExerciseVersion.id == Judging.exercise_version_id)
            .join(Learner, Learner.id == Submission.learner_id)
            .where(Learner.name == learner)
        )
        if which is None:
            query = query.where(Submission.id == reads.latest(learner), Judging.id == standing())
        elif which.startswith("j_"):
            query = query.where(Judging.id == which)
        else:
            query = query.where(Submission.id == which, Judging.id == standing())
        with self.transaction(writes=False) as session:
            found = session.execute(query).one_or_none()
            if found is None:
                raise _nothing_sent() if which is None else writes.unknown(which)
            judging, submission, version = found
            if judging.status != "done":
                raise _not_judged(judging)
            outcomes = select(Outcome).where(Outcome.judging_id == judging.id).order_by(Outcome.ordinal)
            return to_report(
                judging,
                submission,
                version,
                list(session.scalars(outcomes)),
                attempt_of(session, submission),
                session.get(Overruling, judging.id),
            )

    def history(self, learner: str, exercise: str, limit: int) -> list[Attempt]:
        """Return a learner's last `limit` submissions for an exercise, the newest first."""
        with self.transaction(writes=False) as session:
            rows = session.execute(reads.history(learner, exercise, limit)).all()
            judged: defaultdict[str, list[Judged]] = defaultdict(list)
            for each, version in session.execute(reads.judgings([row[0].id for row in rows])):
                judged[each.submission_id].append(reads.to_judged(each, version))
            return [reads.to_attempt(*row, judged[row[0].id]) for row in rows]

    def board(self, exercise: str, limit: int, *, organisation: str) -> list[Place]:
        """Return the best learners of an organisation who show a name: highest score, then fastest, then earliest."""
        with self.transaction(writes=False) as session:
            rows = session.execute(reads.board(exercise, limit, organisation))
            return [
                Place(
                    rank=rank,
                    name=name or "",
                    score=best.score,
                    max_score=best.max_score,
                    speed_ratio=None if math.isinf(best.speed_ratio) else best.speed_ratio,
                    reached_at=best.reached_at,
                )
                for rank, (best, name) in enumerate(rows, start=1)
            ]

    def submissions(self, exercise: str, limit: int, *, organisation: str, before: str | None = None) -> list[Sent]:
        """Return an organisation's submissions for an exercise, the newest first.

        The next page is what came `before` the last submission of this one.
        """
        with self.transaction(writes=False) as session:
            rows = session.execute(reads.submissions(exercise, limit, before, organisation))
            return [
                Sent(learner=learner, attempt=reads.to_attempt(submission, judging, attempt))
                for submission, judging, attempt, learner in rows
            ]

    def regrade_candidates(
        self,
        exercise: str,
        version: str,
        limit: int,
        *,
        after: str = "",
        organisation: str = "",
        leading: bool = False,
    ) -> list[Candidate]:
        """Return submissions, of one organisation or all, that were judged against another version, the oldest first.

        Those with a judging under way are left out; with `leading`, those too that are neither a learner's best nor
        the last. The next page is what came `after` the last submission of this one.
        """
        with self.transaction(writes=False) as session:
            return regrades.candidates(
                session, exercise, version, limit, after=after, organisation=organisation, leading=leading
            )

    def count_candidates(self, exercise: str, version: str, *, organisation: str = "") -> int:
        """Return how many submissions were judged against another version."""
        with self.transaction(writes=False) as session:
            return regrades.count(session, exercise, version, organisation)

    def begin_regrade(
        self,
        exercise: str,
        version: str,
        *,
        title: str,
        by: str,
        never_lower: bool = False,
        queue: str = "",
        organisation: str = "",
    ) -> Regrading | None:
        """Return the regrade of an exercise that is under way, or a new one; None where nothing is to be judged again.

        With a `queue`, workers judge it once `feed` or `sweep` has queued what it is about. With `never_lower`, a
        judging counts only if its share of the points is no smaller than that of the one that stands.

        Raises:
            UsageError: E2119 one is under way that treats lower scores the other way.

        """
        total = self.count_candidates(exercise, version, organisation=organisation)
        with self.transaction(writes=True) as session:
            regrade = regrades.begin(
                session,
                exercise=exercise,
                version=version,
                title=title,
                organisation=organisation,
                never_lower=never_lower,
                by=by,
                queue=queue,
                total=total,
            )
        return None if regrade is None else self.regrade(regrade)

    def feed(self, regrade: str, most_waiting: int) -> list[str]:
        """Queue judgings of a regrade until so many wait, and return them; end it where none is left and none waits."""
        made: list[str] = []
        while True:
            with self.transaction(writes=True) as session:
                portion = regrades.feed(session, regrade, most_waiting)
            if not portion:
                return made
            made += portion

    def regrade(self, regrade: str) -> Regrading:
        """Return how far a regrade is.

        Raises:
            NotFound: E5101 no such regrade.

        """
        with self.transaction(writes=False) as session:
            found = regrades.list_(session, Regrade.id == regrade)
        if not found:
            raise writes.unknown(regrade)
        return found[0]

    def regrades(self, exercise: str, *, organisation: str = "") -> list[Regrading]:
        """Return an organisation's regrades of an exercise, or those of everybody's submissions, the newest first."""
        with self.transaction(writes=False) as session:
            return regrades.list_(session, Regrade.exercise == exercise, Regrade.organisation == organisation)

    def changes(self, regrade: str, limit: int, *, after: str = "") -> list[Change]:
        """Return what a regrade has judged otherwise than before, the oldest submission first.

        The next page is what came `after` the last submission of this one.
        """
        with self.transaction(writes=False) as session:
            return regrades.changes(session, regrade, limit, after)

    def source(self, submission: str) -> bytes:
        """Return the bytes of a submission as they came.

        Raises:
            NotFound: E5101 no such submission.

        """
        query = select(Source.content).join(Submission, Submission.sha256 == Source.sha256)
        with self.transaction(writes=False) as session:
            content = session.scalar(query.where(Submission.id == submission))
        if content is None:
            raise writes.unknown(submission)
        return content


def _too_many(in_flight: int) -> LimitReached:
    return LimitReached(
        "E6107",
        "too many submissions are not judged yet",
        cause=f"{in_flight} of yours wait or are being judged",
        hint="wait until one has its verdict, then submit again",
    )


def _nothing_sent() -> NotFound:
    return NotFound(
        "E5102", "nothing was submitted yet", cause="the history is empty", hint="`grader submit EX FILE` sends a file"
    )


def _not_judged(judging: Judging) -> Pending:
    return Pending(
        "E5103",
        f"judging {judging.id} has no report yet",
        cause=f"it is {judging.status}",
        hint="wait for it to end; one that was interrupted is taken up by the next `grader submit`",
    )
