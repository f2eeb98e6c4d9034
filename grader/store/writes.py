"""What is written into the store: steps of a transaction, each on a session that its caller opens and commits.

PostgreSQL has many writers. They lock in this order, so that no two wait for each other: submission, judging,
learner, exercise version, source. What two could store at once is inserted unless it is there.
"""

import datetime as dt
import math
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, CursorResult, func, select, update
from sqlalchemy.orm import Session

from grader import __version__
from grader.errors import NotFound, UsageError
from grader.owner import is_alive, me
from grader.records import Claim, Queued
from grader.regrade import share
from grader.report import Environment, Report, Usage
from grader.store import admission, outbox, reads
from grader.store.ids import new_id
from grader.store.models import (
    Base,
    Best,
    ExerciseVersion,
    Judging,
    Learner,
    Moment,
    Outcome,
    Overruling,
    Regrade,
    Request,
    Source,
    Submission,
)
from grader.verdict import UNJUDGED, Verdict

_QUEUED_LEASE_SECONDS = 60.0
"""How long a queued judging is left to a submitter of whom we cannot tell whether it lives."""

RUNNING = Judging.status == "running"


def now_of(session: Session) -> dt.datetime:
    """Return the moment by the database's clock: leases must not depend on which worker's clock is right."""
    if session.get_bind().dialect.name == "postgresql":
        return session.scalars(select(func.clock_timestamp(type_=Moment))).one()
    return dt.datetime.now(dt.UTC)


def add_new(session: Session, model: type[Base], /, **values: Any) -> None:
    """Insert a row unless its like is there, or is being stored by another transaction this very moment."""
    # The one that is not used takes 40 ms to import, which every embedded command would pay.
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # noqa: PLC0415  same methods
    session.execute(insert(model).values(values).on_conflict_do_nothing())


def learner(session: Session, name: str) -> str:
    """Return the learner's id, making the learner if new.

    The row is locked until the commit, so that two submissions of one learner get their ordinals
    one after the other (SQLite has but one writer anyway).
    """
    query = select(Learner.id).where(Learner.name == name).with_for_update(key_share=True)
    found = session.scalar(query)
    if found is None:
        add_new(session, Learner, id=new_id("l"), name=name, created_at=now_of(session))
        found = session.scalars(query).one()
    return found


def version_id(session: Session, exercise: str, version: str, title: str, now: dt.datetime) -> str:
    """Return the id of an exercise version, noting it if it is new."""
    query = select(ExerciseVersion.id).where(ExerciseVersion.exercise == exercise, ExerciseVersion.version == version)
    found = session.scalar(query)
    if found is None:
        add_new(
            session,
            ExerciseVersion,
            id=new_id("v"),
            exercise=exercise,
            version=version,
            title=title,
            first_seen_at=now,
        )
        found = session.scalars(query).one()
    return found


def replayed(session: Session, request: Request, body_sha256: str) -> Queued:
    """Return what was stored under a key. Raises UsageError E2117 where that had another body."""
    if request.body_sha256 != body_sha256:
        raise UsageError(
            "E2117",
            f"the idempotency key {request.key!r} was used for another request",
            cause=f"it stands for submission {request.submission_id}, which had another body",
            hint="send a key of its own with each submission; repeat one only to send the very same again",
        )
    submission = session.get_one(Submission, request.submission_id)
    judging = select(Judging.id).where(Judging.submission_id == submission.id, Judging.ordinal == 1)
    return Queued(
        submission=submission.id,
        judging=session.scalars(judging).one(),
        attempt=reads.attempt_of(session, submission),
        replayed=True,
    )


def new_judging(submission: Submission, version_id: str, ordinal: int, seed: str, queue: str, priority: int) -> Judging:
    """Return a judging that `enqueue` is to store."""
    return Judging(
        id=new_id("j"),
        submission_id=submission.id,
        exercise_version_id=version_id,
        ordinal=ordinal,
        seed=seed,
        status="queued",
        tries=0,
        lost=0,
        message="",
        log="",
        queue=queue,
        priority=priority,
        counts=True,
    )


def enqueue(session: Session, judging: Judging, now: dt.datetime, received_at: dt.datetime) -> None:
    """Store a judging: it waits for a worker of its queue or, having none, for this very process."""
    judging.created_at = now
    judging.phases = {"received": min(received_at, now).isoformat(), "queued": now.isoformat()}
    if not judging.queue:
        judging.owner = me()
        judging.lease_until = now + dt.timedelta(seconds=_QUEUED_LEASE_SECONDS)
    session.add(judging)
    outbox.put(session, judging.id)


def last_judging(session: Session, submission: str) -> tuple[Submission, Judging]:
    """Return a submission, locked until the commit, and the judging it was given last. Raises NotFound E5101."""
    row = session.get(Submission, submission, with_for_update={"key_share": True})
    if row is None:
        raise unknown(submission)
    query = select(Judging).where(Judging.submission_id == submission).order_by(Judging.ordinal.desc()).limit(1)
    return row, session.scalars(query).one()


def unknown(which: str) -> NotFound:
    """Return the error that tells of an id that is not there."""
    return NotFound(
        "E5101",
        f"no submission or judging {which!r}",
        cause="there is none with this id, or it belongs to somebody else",
        hint="`grader history EX` lists yours",
    )


def judge_again(  # noqa: PLR0913  each part by its name
    session: Session,
    submission: Submission,
    last: Judging,
    *,
    version_id: str,
    seed: str = "",
    queue: str = "",
    priority: int = 0,
    regrade: Regrade | None = None,
) -> Judging:
    """Queue one more judging of a submission, with the seed of the last unless another is given.

    Where the policy was overruled, it stays so.
    """
    now = now_of(session)
    judging = new_judging(submission, version_id, last.ordinal + 1, seed or last.seed, queue, priority)
    judging.regrade_id = None if regrade is None else regrade.id
    enqueue(session, judging, now, now)
    earlier = reads.overruling(session, submission.id)
    if earlier is not None:
        overrule(session, judging, earlier.staff, earlier.reason, earlier.decided_at)
    return judging


def to_queued(session: Session, submission: Submission, judging: Judging) -> Queued:
    """Tell what was queued, and which attempt it is."""
    return Queued(submission=submission.id, judging=judging.id, attempt=reads.attempt_of(session, submission))


def requeue(
    session: Session, judging: str, tries: int, phases: dict[str, str], *conditions: ColumnElement[bool]
) -> bool:
    """Let a judging that was claimed wait again, if it is still at that try."""
    values = {
        "status": "queued",
        "owner": None,
        "lease_until": None,
        "phases": only(phases, "received") | {"queued": now_of(session).isoformat()},
    }
    if not change(session, judging, tries, values, *conditions):
        return False
    outbox.put(session, judging, again=True)
    return True


def only(phases: dict[str, str], *names: str) -> dict[str, str]:
    """Return the phases of these names: a new try begins without those of the last."""
    return {name: phases[name] for name in names if name in phases}


def claim(session: Session, row: Judging, owner: str, lease_seconds: float) -> Claim | None:
    """Take a judging that nobody looks after; None if another process was quicker."""
    now = now_of(session)
    if row.status == "done" or (row.status == "running" and not is_lost(row, now)):
        return None
    lost = row.lost + (row.status == "running")
    # On the very row that was read: whoever came between has changed one of these.
    unchanged = (Judging.status == row.status, Judging.lease_until == row.lease_until)
    values = {
        "status": "running",
        "owner": owner,
        "lease_until": now + dt.timedelta(seconds=lease_seconds),
        "claimed_at": now,
        "tries": row.tries + 1,
        "lost": lost,
        "phases": only(row.phases, "received", "queued") | {"claimed": now.isoformat()},
    }
    if not change(session, row.id, row.tries, values, *unchanged):
        return None
    outbox.take(session, row.id)
    return to_claim(session, row, row.tries + 1, lost)


def to_claim(session: Session, row: Judging, token: int, lost: int) -> Claim:
    """Put together what the holder of a judging needs."""
    submission, version, source, never_lower = session.execute(
        select(Submission, ExerciseVersion.version, Source.content, Regrade.never_lower)
        .join(Source, Source.sha256 == Submission.sha256)
        .join(ExerciseVersion, ExerciseVersion.id == row.exercise_version_id)
        .outerjoin(Regrade, Regrade.id == row.regrade_id)
        .where(Submission.id == row.submission_id)
    ).one()
    return Claim(
        judging=row.id,
        submission=submission.id,
        exercise=submission.exercise,
        version=version,
        filename=submission.filename,
        device=submission.device,
        source=source,
        seed=row.seed,
        token=token,
        lost=lost,
        overruled=session.get(Overruling, row.id) is not None,
        never_lower=bool(never_lower),
    )


def overrule(session: Session, judging: Judging, staff: str, reason: str, decided_at: dt.datetime) -> None:
    """Store why a judging waives the policy."""
    session.flush()  # the judging first
    session.add(Overruling(judging_id=judging.id, staff=staff, reason=reason, decided_at=decided_at))


def is_lost(judging: Judging, now: dt.datetime) -> bool:
    """Tell whether nobody looks after a judging that is not done."""
    if judging.owner is None or judging.lease_until is None:
        return True
    alive = is_alive(judging.owner)
    if alive is False:
        return True
    if alive and judging.status == "queued":
        return False  # its submitter is on the way to claim it, however slowly
    return judging.lease_until <= now


def change(
    session: Session, judging: str, tries: int, values: dict[str, Any], *conditions: ColumnElement[bool]
) -> bool:
    """Update one judging if it is still at that try; the whole fence stands here."""
    statement = update(Judging).where(Judging.id == judging, Judging.tries == tries, *conditions).values(values)
    changed = session.execute(statement, execution_options={"synchronize_session": False})
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def held(session: Session, claim: Claim) -> dict[str, str] | None:
    """Return the phases of a judging, locked until the commit, if the claim is still ours."""
    query = select(Judging.phases).where(Judging.id == claim.judging, Judging.tries == claim.token, RUNNING)
    return session.scalar(query.with_for_update(key_share=True))


def finish(session: Session, claim: Claim, report: Report) -> bool:
    """Store how a judging ended, if the claim is still ours."""
    now = now_of(session)
    phases = held(session, claim)
    if phases is None:
        return False
    if report.verdict is Verdict.CANCELLED:
        phases = only(phases, "received", "queued")
    else:
        phases.setdefault("judged", now.isoformat())
    values = {
        "status": "done",
        "owner": None,
        "lease_until": None,
        "finished_at": now,
        "verdict": report.verdict.value,
        "score": report.score,
        "max_score": report.max_score,
        "speed_ratio": _speed_ratio(report),
        "message": report.message,
        "environment": msgspec.to_builtins(report.environment),
        "usage": msgspec.to_builtins(report.usage),
        "log": report.log,
        "phases": phases | {"stored": now_of(session).isoformat()},
        "counts": not (claim.never_lower and _is_lower(session, claim, report)),
    }
    change(session, claim.judging, claim.token, values, RUNNING)
    sent = session.get_one(Submission, claim.submission)
    if report.verdict not in UNJUDGED:
        # Two judgings of one learner that end at once: the second must see what the first has stored.
        # Before the version, as a submission takes them: or the two could wait for each other.
        session.execute(select(Learner.id).where(Learner.id == sent.learner_id).with_for_update(key_share=True))
    _note_version(session, claim, report, now)
    session.add_all(
        Outcome(
            judging_id=claim.judging,
            name=test.name,
            ordinal=ordinal,
            title=test.title,
            verdict=test.verdict.value,
            points=test.points,
            max_points=test.max_points,
            message=test.message,
            explanation=test.explanation,
            speed=msgspec.to_builtins(test.speed) or None,
        )
        for ordinal, test in enumerate(report.tests, start=1)
    )
    if report.verdict not in UNJUDGED:
        _keep_best(session, sent)
        admission.note_share(session, sent)
    return True


def _speed_ratio(report: Report) -> float | None:
    """Return the largest ratio to the reference's time of what an accepted submission was timed at.

    To two digits: noise moves the third, and is not to decide who comes first on a board.
    """
    ratios = [speed.ratio for test in report.tests for speed in test.speed]
    return float(f"{max(ratios):.2g}") if ratios and report.verdict is Verdict.ACCEPTED else None


def _is_lower(session: Session, claim: Claim, report: Report) -> bool:
    """Tell whether a report gives a smaller share of the points than the judging that stands."""
    query = select(reads.share()).join(Submission, Submission.id == Judging.submission_id)
    stands = (Submission.id == claim.submission, Judging.id == reads.standing(), Judging.status == "done")
    before = session.scalar(query.where(*stands, Judging.verdict.not_in(UNJUDGED)))
    return before is not None and share(report.score, report.max_score) < before


def _keep_best(session: Session, sent: Submission) -> None:
    """Look up anew which submission of a learner is the best: a rejudge may have lowered it."""
    best, judging = session.execute(reads.best(sent.learner_id, sent.exercise)).one()
    row = session.get(Best, (sent.learner_id, sent.exercise))
    if row is None:
        row = Best(learner_id=sent.learner_id, exercise=sent.exercise)
        session.add(row)
    row.submission_id = best.id
    row.score = judging.score or 0.0
    row.max_score = judging.max_score or 0.0
    row.share = share(judging.score, judging.max_score)
    row.speed_ratio = math.inf if judging.speed_ratio is None else judging.speed_ratio
    row.reached_at = best.created_at


def end_unjudged(session: Session, claim: Claim, verdict: Verdict, message: str, log: str = "") -> bool:
    """Store that a judging ended without a look at the submission, if the claim is still ours."""
    max_score = session.scalar(
        select(ExerciseVersion.max_score).where(
            ExerciseVersion.exercise == claim.exercise, ExerciseVersion.version == claim.version
        )
    )
    report = Report(
        exercise=claim.exercise,
        exercise_version=claim.version,
        verdict=verdict,
        score=0.0,
        max_score=max_score or 0.0,
        message=f"{message} No attempt was used.",
        tests=[],
        usage=Usage(),
        environment=Environment(grader=__version__, engine=""),
        seed=claim.seed,
        log=log,
    )
    return finish(session, claim, report)


def give_up(session: Session, claim: Claim, log: str) -> bool:
    """Store that a judging was lost too often, if the claim is still ours."""
    message = f"The judging stopped {claim.lost} times before its end."
    return end_unjudged(session, claim, Verdict.INTERNAL_ERROR, message, log)


def _note_version(session: Session, claim: Claim, report: Report, now: dt.datetime) -> None:
    """Keep what a report tells about the exercise version: which it was, and its full score."""
    claimed, title = session.execute(
        select(ExerciseVersion.id, ExerciseVersion.title).where(
            ExerciseVersion.exercise == claim.exercise, ExerciseVersion.version == claim.version
        )
    ).one()
    judged = claimed
    if report.exercise_version != claim.version:
        judged = version_id(session, claim.exercise, report.exercise_version, title, now)
        change(session, claim.judging, claim.token, {"exercise_version_id": judged})
    if report.verdict not in UNJUDGED:
        session.execute(
            update(ExerciseVersion)
            .where(ExerciseVersion.id == judged, ExerciseVersion.max_score.is_(None))
            .values(max_score=report.max_score),
            execution_options={"synchronize_session": False},
        )
