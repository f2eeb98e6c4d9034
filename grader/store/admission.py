"""Whether a submission is taken for an assignment: its times, attempts and cooldown, for this very learner.

A submission counts for each published assignment of the learner's courses that has its exercise and takes it at that
moment. It is refused where there are such assignments and none takes it; where there are none, anybody may practise.
"""

import datetime as dt
import functools
import math
from typing import Any

from sqlalchemy import Select, and_, bindparam, exists, or_, select, update
from sqlalchemy.orm import Session

from grader.course import told, zone
from grader.errors import LimitReached
from grader.store import gradebook, reads
from grader.store.course_models import Assignment, Course, Entry, Extension, Item, Member
from grader.store.models import Judging, Submission
from grader.verdict import UNJUDGED


def window(assignment: Assignment, extension: Extension | None) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return when an assignment is due and when it closes for a learner; None for never.

    An extension of the due time alone moves a close that would come before it. Where nothing late is taken, it
    closes when it is due.
    """
    due, closes = assignment.due_at, assignment.closes_at
    if extension is not None:
        due = extension.due_at or due
        closes = extension.closes_at or closes
        if extension.closes_at is None and closes and due:
            closes = max(closes, due)
    if assignment.late == "closed" and due:
        closes = min(closes, due) if closes else due
    return due, closes


@functools.cache
def _assignments() -> Select[*tuple[Any, ...]]:
    return (
        select(Assignment, Extension, Course.name, Course.timezone)
        .join(Item, Item.assignment_id == Assignment.id)
        .join(Course, Course.id == Assignment.course_id)
        .join(Member, Member.course_id == Course.id)
        .outerjoin(Extension, and_(Extension.assignment_id == Assignment.id, Extension.learner_id == Member.learner_id))
        .where(
            Item.exercise == bindparam("exercise"),
            Member.learner_id == bindparam("learner"),
            Member.left_at.is_(None),
            Assignment.published_at.is_not(None),
        )
        .order_by(Assignment.id)
    )


@functools.cache
def used() -> Select[*tuple[Any, ...]]:
    """Select when each submission that uses an attempt up was sent, the latest first."""
    judged = exists().where(
        Judging.submission_id == Entry.submission_id,
        or_(Judging.status != "done", Judging.verdict.not_in(UNJUDGED)),
    )
    return (
        select(Entry.at)
        .where(
            Entry.assignment_id == bindparam("assignment"),
            Entry.learner_id == bindparam("learner"),
            Entry.exercise == bindparam("exercise"),
            judged,
        )
        .order_by(Entry.at.desc())
    )


def admit(session: Session, learner_id: str, exercise: str, now: dt.datetime) -> list[str]:
    """Return the assignments that take a submission now; none where the exercise is not set to this learner.

    Raises:
        LimitReached: E6201 not open yet; E6202 closed; E6203 no attempt is left; E6204 too soon after the last. Of
            several refusals it is the one that ends first.

    """
    taken, refusals = [], []
    for assignment, extension, course, timezone in session.execute(
        _assignments(), {"exercise": exercise, "learner": learner_id}
    ).all():
        refusal = _refusal(session, learner_id, exercise, now, (assignment, extension, course, timezone))
        if refusal is None:
            taken.append(assignment.id)
        else:
            refusals.append(refusal)
    if refusals and not taken:
        raise min(refusals, key=lambda refusal: refusal.seconds)
    return taken


def _refusal(
    session: Session,
    learner_id: str,
    exercise: str,
    now: dt.datetime,
    row: tuple[Assignment, Extension | None, str, str],
) -> LimitReached | None:
    """Return why an assignment takes nothing now, with the seconds until it will; infinitely many if never."""
    assignment, extension, course, timezone = row
    name, where = f"{course}/{assignment.name}", zone(timezone)
    now = now.replace(microsecond=0)
    due, closes = window(assignment, extension)
    if assignment.opens_at and now < assignment.opens_at:
        return LimitReached(
            "E6201",
            f"{name} is not open yet",
            cause=f"it opens at {told(assignment.opens_at, where)}",
            hint="`grader check` runs the public examples meanwhile",
            seconds=(assignment.opens_at - now).total_seconds(),
        )
    if closes and now > closes:
        late = f"it was due at {told(due, where)} and closed" if due and due != closes else "it closed"
        return LimitReached(
            "E6202",
            f"{name} is closed",
            cause=f"{late} at {told(closes, where)}",
            hint="ask who teaches the course for an extension; `grader check` still runs the public examples",
            seconds=math.inf,
        )
    sent = session.scalars(used(), {"assignment": assignment.id, "learner": learner_id, "exercise": exercise}).all()
    allowed = attempts(assignment, extension)
    if allowed is not None and len(sent) >= allowed:
        return LimitReached(
            "E6203",
            f"no attempt is left for {exercise} in {name}",
            cause=f"{len(sent)} of {allowed} are used",
            hint="ask who teaches the course for one more; what failed by our own fault was not counted",
            seconds=math.inf,
        )
    again = sent[0] + dt.timedelta(seconds=assignment.cooldown_seconds) if sent else now
    if again > now:
        return LimitReached(
            "E6204",
            f"too soon after your last submission for {exercise} in {name}",
            cause=f"the next is taken at {told(again, where)}",
            hint="`grader check` runs the public examples as often as you like",
            seconds=(again - now).total_seconds(),
        )
    return None


def attempts(assignment: Assignment, extension: Extension | None) -> int | None:
    """Return how many attempts a learner has for each exercise; None for any number."""
    if assignment.attempts is None:
        return None
    return assignment.attempts + (extension.more_attempts if extension else 0)


def enter(session: Session, submission: Submission, assignments: list[str], at: dt.datetime) -> None:
    """Note for which assignments a submission was sent."""
    session.add_all(
        Entry(
            submission_id=submission.id,
            assignment_id=assignment,
            learner_id=submission.learner_id,
            exercise=submission.exercise,
            at=at,
        )
        for assignment in assignments
    )
    for assignment in assignments:
        gradebook.mark(session, assignment, submission.learner_id, submission.exercise)


def note_share(session: Session, submission: Submission) -> None:
    """Note what share of the points the judging that stands gives, where the submission was for an assignment."""
    entries = select(Entry.assignment_id).where(Entry.submission_id == submission.id).order_by(Entry.assignment_id)
    assignments = session.scalars(entries).all()
    if not assignments:
        return
    stands = (
        select(reads.share())
        .join(Submission, Submission.id == Judging.submission_id)
        .where(Submission.id == submission.id, Judging.id == reads.standing())
    )
    session.execute(
        update(Entry).where(Entry.submission_id == submission.id).values(share=session.scalars(stands).one()),
        execution_options={"synchronize_session": False},
    )
    for assignment in assignments:
        gradebook.mark(session, assignment, submission.learner_id, submission.exercise)
