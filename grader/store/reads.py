"""What is read out of the store: which judging speaks, which attempt it is, the report itself."""

import datetime as dt
import functools
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, and_, bindparam, case, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from grader.records import Attempt, Judged, Progress
from grader.report import Environment, Overruled, Report, Speed, TestReport, Usage
from grader.store.models import (
    Account,
    Best,
    ExerciseVersion,
    Judging,
    Learner,
    Organisation,
    Outcome,
    Overruling,
    Submission,
)
from grader.verdict import UNJUDGED, Verdict


def _uses_attempt(submission: type[Submission] = Submission) -> ColumnElement[bool]:
    """Whether a submission uses an attempt up: not if all its judgings ended unjudged."""
    judging = aliased(Judging)
    return exists().where(
        judging.submission_id == submission.id,
        or_(judging.status != "done", judging.verdict.not_in(UNJUDGED)),
    )


@functools.cache  # making an alias takes a millisecond
def attempt() -> ScalarSelect[int]:
    """Return the attempt of the submission of the query around it."""
    earlier = aliased(Submission)
    return (
        select(1 + func.count())
        .where(
            earlier.learner_id == Submission.learner_id,
            earlier.exercise == Submission.exercise,
            earlier.ordinal < Submission.ordinal,
            _uses_attempt(earlier),
        )
        .correlate(Submission)
        .scalar_subquery()
    )


def attempt_of(session: Session, submission: Submission) -> int:
    """Return the submission's attempt: one more than the attempts used before it."""
    return session.scalars(_attempt_of(), {"submission": submission.id}).one()


@functools.cache
def _attempt_of() -> Select[int]:
    return select(attempt()).select_from(Submission).where(Submission.id == bindparam("submission"))


def share(judging: type[Judging] = Judging) -> ColumnElement[float]:
    """Return the share of the points that a judging gave, 0 to 1."""
    return func.coalesce(judging.score / func.nullif(judging.max_score, 0.0), 0.0)


@functools.lru_cache(maxsize=8)  # as above
def standing(*, lowered: bool = False, before: type[Judging] | None = None) -> ScalarSelect[str]:
    """Return the judging that speaks for the submission of the query around it.

    That is the last one that was judged and counts; if there is none, the last. With
    `lowered`, a judging that does not count, because a regrade never lowers, is looked at as well. With `before`,
    a judging of the query around it, it is the one that spoke until that was done.
    """
    other = aliased(Judging)
    stands = and_(other.status == "done", other.verdict.not_in(UNJUDGED), true() if lowered else other.counts)
    return (
        select(other.id)
        .where(other.submission_id == Submission.id, true() if before is None else other.ordinal < before.ordinal)
        .order_by(case((stands, 0), else_=1), other.ordinal.desc())
        .limit(1)
        .correlate(Submission, *([] if before is None else [before]))
        .scalar_subquery()
    )


def overruling(session: Session, submission: str) -> Overruling | None:
    """Return the last overruling of the policy for a submission; it holds for every later judging too."""
    query = select(Overruling).join(Judging, Judging.id == Overruling.judging_id)
    return session.scalar(query.where(Judging.submission_id == submission).order_by(Judging.ordinal.desc()).limit(1))


def latest(learner: str) -> ScalarSelect[str]:
    """Return the submission that a learner sent last."""
    other = aliased(Submission)
    return (
        select(other.id)
        .join(Learner, Learner.id == other.learner_id)
        .where(Learner.name == learner)
        .order_by(other.created_at.desc(), other.id.desc())
        .limit(1)
        .correlate(None)
        .scalar_subquery()
    )


def history(learner: str, exercise: str, limit: int) -> Select[Submission, Judging, int]:
    """Select submissions with the judging that stands and the attempt, the newest first."""
    used_before = func.sum(case((_uses_attempt(), 1), else_=0)).over(order_by=Submission.ordinal, rows=(None, -1))
    # Cut to the limit before the judgings are looked up: a keen learner has thousands.
    newest = (
        select(Submission.id, (1 + func.coalesce(used_before, 0)).label("attempt"))
        .join(Learner, Learner.id == Submission.learner_id)
        .where(Learner.name == learner, Submission.exercise == exercise)
        .order_by(Submission.ordinal.desc())
        .limit(limit)
        .subquery()
    )
    return (
        select(Submission, Judging, newest.c.attempt)
        .join(newest, newest.c.id == Submission.id)
        .join(Judging, Judging.id == standing())
        .order_by(Submission.ordinal.desc())
    )


def best(learner_id: str, exercise: str) -> Select[Submission, Judging]:
    """Select a learner's submission with the highest share of the points; of equals the fastest, then the earliest."""
    return (
        select(Submission, Judging)
        .join(Judging, Judging.id == standing())
        .where(
            Submission.learner_id == learner_id,
            Submission.exercise == exercise,
            Judging.status == "done",
            Judging.verdict.not_in(UNJUDGED),
        )
        .order_by(share().desc(), Judging.speed_ratio.asc().nulls_last(), Submission.created_at, Submission.id)
        .limit(1)
    )


def board(exercise: str, limit: int, organisation: str) -> Select[Best, str | None]:
    """Select the bests of learners with a public name, the highest score first, then the fastest, then the earliest."""
    return (
        select(Best, Account.public_name)
        .join(Account, Account.learner_id == Best.learner_id)
        .join(Organisation, Organisation.id == Account.organisation_id)
        .where(
            Best.exercise == exercise,
            Organisation.name == organisation,
            Account.public_name.is_not(None),
            Account.disabled_at.is_(None),
        )
        .order_by(Best.share.desc(), Best.speed_ratio, Best.reached_at, Best.submission_id)
        .limit(limit)
    )


def submissions(
    exercise: str, limit: int, before: str | None, organisation: str
) -> Select[Submission, Judging, int, str]:
    """Select an organisation's submissions older than `before`, with judging, attempt and learner, newest first."""
    # Cut to the page before anything is looked up for a line of it.
    page = (
        select(Submission.id)
        .join(Account, Account.learner_id == Submission.learner_id)
        .join(Organisation, Organisation.id == Account.organisation_id)
        .where(Submission.exercise == exercise, Organisation.name == organisation)
        .order_by(Submission.id.desc())
        .limit(limit)
    )
    cut = (page if before is None else page.where(Submission.id < before)).subquery()
    return (
        select(Submission, Judging, attempt(), Learner.name)
        .join(cut, cut.c.id == Submission.id)
        .join(Learner, Learner.id == Submission.learner_id)
        .join(Judging, Judging.id == standing())
        .order_by(Submission.id.desc())
    )


@functools.cache
def progress() -> Select[*tuple[Any, ...]]:
    """Select what `to_progress` takes of the judgings whose ids are the parameter `judgings`."""
    return (
        select(
            Judging.id,
            Judging.submission_id,
            Learner.name,
            Submission.exercise,
            Judging.status,
            Judging.verdict,
            Judging.queue,
            Judging.phases,
        )
        .join(Submission, Submission.id == Judging.submission_id)
        .join(Learner, Learner.id == Submission.learner_id)
        .where(Judging.id.in_(bindparam("judgings", expanding=True)))
    )


def filed(submission: str) -> Select[Submission, Judging, int, str]:
    """Select a submission with the judging that stands, the attempt and the learner."""
    return (
        select(Submission, Judging, attempt(), Learner.name)
        .join(Learner, Learner.id == Submission.learner_id)
        .join(Judging, Judging.id == standing())
        .where(Submission.id == submission)
    )


def judgings(submissions: list[str]) -> Select[Judging, str]:
    """Select all judgings of submissions, the oldest first, each with the version it was judged against."""
    return (
        select(Judging, ExerciseVersion.version)
        .join(ExerciseVersion, ExerciseVersion.id == Judging.exercise_version_id)
        .where(Judging.submission_id.in_(submissions))
        .order_by(Judging.submission_id, Judging.ordinal)
    )


def in_flight(session: Session, learner_id: str) -> int:
    """Return how many submissions to a service a learner has that are not judged yet."""
    query = (
        select(func.count())
        .select_from(Judging)
        .join(Submission, Submission.id == Judging.submission_id)
        .where(
            Submission.learner_id == learner_id,
            Judging.status.in_(["queued", "running"]),
            Judging.queue != "",
            Judging.ordinal == 1,  # that staff have one judged again is no affair of theirs
        )
    )
    return session.scalars(query).one()


def to_progress(row: Row[*tuple[Any, ...]]) -> Progress:
    """Put together how far a judging is."""
    judging, submission, learner, exercise, status, verdict, queue, phases = row
    return Progress(
        judging=judging,
        submission=submission,
        learner=learner,
        exercise=exercise,
        status=status,
        verdict=None if verdict is None else Verdict(verdict),
        queue=queue,
        phases=_moments(phases),
    )


def to_judged(row: Judging, version: str) -> Judged:
    """Put one line of a submission's judgings together."""
    return Judged(
        judging=row.id,
        ordinal=row.ordinal,
        status=row.status,
        verdict=None if row.verdict is None else Verdict(row.verdict),
        score=row.score,
        max_score=row.max_score,
        counts=row.counts,
        queue=row.queue,
        version=version,
        phases=_moments(row.phases),
    )


def _moments(phases: dict[str, str]) -> dict[str, dt.datetime]:
    return {name: dt.datetime.fromisoformat(moment) for name, moment in phases.items()}


def to_attempt(submission: Submission, judging: Judging, attempt: int, others: Iterable[Judged] = ()) -> Attempt:
    """Put one line of a history together from its rows; `others` holds all judgings of the submission."""
    return Attempt(
        attempt=attempt,
        submission=submission.id,
        judging=judging.id,
        created_at=submission.created_at,
        status=judging.status,
        verdict=None if judging.verdict is None else Verdict(judging.verdict),
        score=judging.score,
        max_score=judging.max_score,
        sha256=submission.sha256,
        filename=submission.filename,
        others=[each for each in others if each.judging != judging.id],
    )


def to_report(
    judging: Judging,
    submission: Submission,
    version: str,
    outcomes: list[Outcome],
    attempt: int,
    overruling: Overruling | None,
) -> Report:
    """Put the report of a judging that is done together again from its rows."""
    return Report(
        exercise=submission.exercise,
        exercise_version=version,
        verdict=Verdict(judging.verdict or Verdict.INTERNAL_ERROR),
        score=judging.score or 0.0,
        max_score=judging.max_score or 0.0,
        message=judging.message,
        tests=[
            TestReport(
                name=row.name,
                title=row.title,
                verdict=Verdict(row.verdict),
                points=row.points,
                max_points=row.max_points,
                message=row.message,
                explanation=row.explanation,
                speed=msgspec.convert(row.speed or [], list[Speed]),
            )
            for row in outcomes
        ],
        usage=msgspec.convert(judging.usage, Usage),
        environment=msgspec.convert(judging.environment, Environment),
        seed=judging.seed,
        submission=submission.id,
        judging=judging.id,
        attempt=attempt,
        overruled=None
        if overruling is None
        else Overruled(by=overruling.staff, reason=overruling.reason, at=overruling.decided_at),
        log=judging.log,
    )
