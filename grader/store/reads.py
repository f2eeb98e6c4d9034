"""What is read out of the store: which judging speaks, which attempt it is, the report itself."""

import msgspec
from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from grader.report import Environment, Overruled, Report, TestReport, Usage
from grader.store.models import Judging, Learner, Outcome, Overruling, Submission
from grader.verdict import Verdict


def _counts() -> ColumnElement[bool]:
    """Whether a submission uses an attempt up: not if all its judgings ended by our own fault."""
    return exists().where(
        Judging.submission_id == Submission.id,
        or_(Judging.status != "done", Judging.verdict != Verdict.INTERNAL_ERROR.value),
    )


def attempt_of(session: Session, submission: Submission) -> int:
    """Return the submission's attempt: one more than the attempts used before it."""
    used = select(func.count()).where(
        Submission.learner_id == submission.learner_id,
        Submission.exercise == submission.exercise,
        Submission.ordinal < submission.ordinal,
        _counts(),
    )
    return 1 + session.scalars(used).one()


def standing() -> ScalarSelect[str]:
    """Return the judging that speaks for the submission of the query around it.

    That is the last one with a verdict that is not our fault; if there is none, the last.
    """
    other = aliased(Judging)
    stands = and_(other.status == "done", other.verdict != Verdict.INTERNAL_ERROR.value)
    return (
        select(other.id)
        .where(other.submission_id == Submission.id)
        .order_by(case((stands, 0), else_=1), other.ordinal.desc())
        .limit(1)
        .correlate(Submission)
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
    counts = case((_counts().correlate(Submission), 1), else_=0)
    used_before = func.sum(counts).over(order_by=Submission.ordinal) - counts
    return (
        select(Submission, Judging, used_before + 1)
        .join(Learner, Learner.id == Submission.learner_id)
        .join(Judging, Judging.id == standing())
        .where(Learner.name == learner, Submission.exercise == exercise)
        .order_by(Submission.ordinal.desc())
        .limit(limit)
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
