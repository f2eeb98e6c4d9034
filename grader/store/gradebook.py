"""Grades: for each learner and exercise the submission that is best after its penalty, and the sums.

What counts is worked out in SQL when something changes (`mark`), and read from the marks: a page must not rank what a
large class has sent.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Float, Select, and_, case, delete, func, insert, select, type_coerce
from sqlalchemy.orm import Session

from grader.course import Cell, Column, Gradebook, Line, Person
from grader.store.course_models import Assignment, Course, Entry, Extension, Item, Mark, Member, Override


def late_seconds() -> ColumnElement[int]:
    """Return by how many seconds the entry of the query around it was late for its learner, 0 for in time."""
    due = func.coalesce(Extension.due_at, Assignment.due_at)
    late = type_coerce(Entry.at, BigInteger) - type_coerce(due, BigInteger)
    return case((late > 0, late), else_=0)


def kept(late: ColumnElement[int]) -> ColumnElement[float]:
    """Return the share of its score that an entry keeps: `grader.course.Late.factor` in SQL."""
    units = (late + Assignment.late_unit - 1) // Assignment.late_unit
    left = 100.0 - units * Assignment.late_percent
    return type_coerce(case((left > Assignment.late_floor, left), else_=Assignment.late_floor) / 100.0, Float)


def best(*of: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Select, of the entries that these conditions name, the one that counts for each learner and exercise."""
    late = late_seconds()
    left = kept(late)
    each = (Entry.assignment_id, Entry.learner_id, Entry.exercise)
    order = (func.coalesce(Entry.share * left, -1.0).desc(), Entry.at, Entry.submission_id)
    ranked = (
        select(
            *each,
            Entry.submission_id,
            Entry.at,
            Entry.share,
            late.label("late_seconds"),
            left.label("kept"),
            func.count().over(partition_by=each).label("sent"),
            func.row_number().over(partition_by=each, order_by=order).label("nth"),
        )
        .join(Assignment, Assignment.id == Entry.assignment_id)
        .outerjoin(
            Extension,
            and_(Extension.assignment_id == Entry.assignment_id, Extension.learner_id == Entry.learner_id),
        )
        .where(*of)
        .subquery()
    )
    return select(*(column for column in ranked.c if column.name != "nth")).where(ranked.c.nth == 1)


_MARKS = ("assignment_id", "learner_id", "exercise", "submission_id", "at", "share", "late_seconds", "kept", "sent")


def mark(session: Session, assignment: str, learner: str = "", exercise: str = "") -> None:
    """Draw marks anew from the entries: all of an assignment, of one learner, or for one exercise of theirs.

    Whoever changes an assignment's rules has locked its row; here it is locked against that, so that no mark is drawn
    by rules that are about to change. Marks of one learner are one after the other by the learner's lock.
    """
    session.flush()
    if learner:
        session.execute(select(Assignment.id).where(Assignment.id == assignment).with_for_update(read=True))
    named = {"assignment_id": assignment, "learner_id": learner, "exercise": exercise}
    named = {name: value for name, value in named.items() if value}
    session.execute(
        delete(Mark).where(*(getattr(Mark, name) == value for name, value in named.items())),
        execution_options={"synchronize_session": False},
    )
    entries = best(*(getattr(Entry, name) == value for name, value in named.items()))
    session.execute(insert(Mark).from_select(_MARKS, entries))


def to_person(row: Member) -> Person:
    """Return who a member is."""
    return Person(
        login=row.login,
        name=row.name,
        given_name=row.given_name,
        family_name=row.family_name,
        identifier=row.identifier,
        email=row.email,
        cohort=row.cohort,
    )


def read(
    session: Session,
    course: Course,
    assignments: Sequence[Assignment],
    *,
    cohort: str = "",
    login: str = "",
    limit: int = 0,
    after: str = "",
) -> Gradebook:
    """Return the grades of those who are in a course, by login; with a `limit`, those that come `after` a login."""
    columns, points = _columns(session, assignments)
    members = select(Member).where(Member.course_id == course.id, Member.left_at.is_(None)).order_by(Member.login)
    if cohort:
        members = members.where(Member.cohort == cohort)
    if login:
        members = members.where(Member.login == login)
    if after:
        members = members.where(Member.login > after)
    part = bool(limit or login)
    rows = session.scalars(members.limit(limit) if limit else members).all()
    lines = {row.learner_id: _Line(len(columns)) for row in rows}
    ids = [each.id for each in assignments]
    place = {(column[0], column[1]): nth for nth, column in enumerate(points)}
    # Plain columns of the table, not of the model: the session does much for each row of a model's, here of 80,000.
    table = Mark.__table__.c
    found = select(*(type_coerce(table.at, BigInteger) if name == "at" else table[name] for name in _MARKS))
    found = found.where(table.assignment_id.in_(ids))
    if part:
        found = found.where(table.learner_id.in_(lines))
    # Not `all()`: 80,000 rows at a time keep the garbage collector busy for 90 ms.
    for assignment, learner, exercise, submission, at, share, late, left, sent in session.execute(found):
        line, nth = lines.get(learner), place.get((assignment, exercise))
        if line is None or nth is None:
            continue
        if share is None:
            line.cells[nth] = Cell(sent=sent)
            continue
        raw = points[nth][2] * share
        score = raw * left
        line.cells[nth] = Cell(
            raw=raw,
            penalty=raw - score,
            score=score,
            late_seconds=late,
            sent=sent,
            submission=submission,
            at=dt.datetime.fromtimestamp(at, dt.UTC),
        )
    for each in session.scalars(select(Override).where(Override.assignment_id.in_(ids))):
        line, nth = lines.get(each.learner_id), place.get((each.assignment_id, each.exercise))
        if line is not None and nth is not None:
            line.override(nth, each)
    return Gradebook(
        course=course.name,
        timezone=course.timezone,
        points=sum(column.points for column in columns),
        columns=columns,
        lines=[lines[row.learner_id].done(to_person(row)) for row in rows],
        next=rows[-1].login if limit and len(rows) == limit else None,
    )


class _Line:
    """A line of a gradebook that is being filled."""

    def __init__(self, columns: int) -> None:
        """Begin with nothing sent."""
        self.cells: list[Cell | None] = [None] * columns

    def override(self, nth: int, row: Override) -> None:
        """Put the score that staff have set in the place of what was reached."""
        was = self.cells[nth] or Cell()
        self.cells[nth] = Cell(
            raw=was.raw,
            penalty=was.penalty,
            score=row.score,
            late_seconds=was.late_seconds,
            sent=was.sent,
            submission=was.submission,
            at=was.at,
            overridden=row.reason,
        )

    def done(self, person: Person) -> Line:
        """Return the line with its sums."""
        raw = penalty = score = 0.0
        for cell in self.cells:
            if cell is not None:
                raw += cell.raw
                penalty += cell.penalty
                score += cell.score
        return Line(person=person, cells=self.cells, raw=raw, penalty=penalty, score=score)


def _columns(session: Session, assignments: Sequence[Assignment]) -> tuple[list[Column], list[tuple[str, str, float]]]:
    """Return the columns, and assignment, exercise and points of each."""
    of = {each.id: each for each in assignments}
    nth = {each.id: place for place, each in enumerate(assignments)}
    items = session.scalars(select(Item).where(Item.assignment_id.in_(of))).all()
    ordered = sorted(items, key=lambda item: (nth[item.assignment_id], item.ordinal))
    columns = [
        Column(
            assignment=of[item.assignment_id].name,
            title=of[item.assignment_id].title or of[item.assignment_id].name,
            exercise=item.exercise,
            points=item.points,
            due_at=of[item.assignment_id].due_at,
        )
        for item in ordered
    ]
    return columns, [(item.assignment_id, item.exercise, item.points) for item in ordered]
