"""The tables of courses.

courses             a course of an organisation
members             who is on its roster, or was
assignments         a set of exercises with times and rules
items               an exercise of an assignment, and what it is worth
extensions          what one learner is granted of an assignment
entries             which assignments a submission was sent for, and how much of the points it got
marks               of a learner's entries for an exercise the one that counts; drawn from entries, times and policy
overrides           a score that staff have set; what it was before stands in the audit trail
releases            a token that a learner spent on a fuller report of a submission
appeals             a learner's request to have a grade looked at again
"""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Dialect, ForeignKey, Index, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from grader.store.models import Base


class Second(TypeDecorator[dt.datetime]):
    """A moment as whole seconds since 1970: lateness is then a difference of integers, on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> int | None:
        """Write seconds, without what is left of one; a moment without a time zone is a mistake and fails."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(value)
        return int(value.replace(microsecond=0).timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> dt.datetime | None:
        """Read as UTC."""
        del dialect
        return None if value is None else dt.datetime.fromtimestamp(value, dt.UTC)


class Course(Base):
    """A course; `organisation` is whose, empty on a machine without a server."""

    __tablename__ = "courses"
    __table_args__ = (UniqueConstraint("organisation", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    organisation: Mapped[str]
    name: Mapped[str]
    title: Mapped[str]
    timezone: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[dt.datetime]


class Member(Base):
    """A learner of a course, with or without an account; whoever left stays here, and so does what they sent."""

    __tablename__ = "members"
    __table_args__ = (UniqueConstraint("course_id", "login"), Index(None, "learner_id"))

    course_id: Mapped[str] = mapped_column(ForeignKey("courses.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    login: Mapped[str]
    name: Mapped[str]
    given_name: Mapped[str]
    family_name: Mapped[str]
    identifier: Mapped[str]
    email: Mapped[str]
    cohort: Mapped[str]
    added_at: Mapped[dt.datetime]
    left_at: Mapped[dt.datetime | None]


class Assignment(Base):
    """An assignment of a course.

    `late` is the policy as it is written; of what it says, `late_percent`, `late_unit` (seconds) and `late_floor`
    are what is computed with. `attempts` are for each exercise, without a number any; `token_seconds` is how long a
    spent token takes to come back, 0 for never.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("course_id", "name"),
        CheckConstraint("disclosure IN ('never', 'after_due', 'always')", name="disclosure"),
        CheckConstraint("late_unit > 0", name="late_unit"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    course_id: Mapped[str] = mapped_column(ForeignKey("courses.id"))
    name: Mapped[str]
    title: Mapped[str]
    opens_at: Mapped[dt.datetime | None] = mapped_column(Second)
    due_at: Mapped[dt.datetime | None] = mapped_column(Second)
    closes_at: Mapped[dt.datetime | None] = mapped_column(Second)
    late: Mapped[str]
    late_percent: Mapped[float]
    late_unit: Mapped[int]
    late_floor: Mapped[float]
    attempts: Mapped[int | None]
    cooldown_seconds: Mapped[int]
    disclosure: Mapped[str]
    tokens: Mapped[int]
    token_seconds: Mapped[int]
    created_at: Mapped[dt.datetime]
    published_at: Mapped[dt.datetime | None]


class Item(Base):
    """An exercise of an assignment; `disclosure` says otherwise than the assignment for tests by name."""

    __tablename__ = "items"
    __table_args__ = (Index(None, "exercise"),)

    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    exercise: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int]
    points: Mapped[float]
    disclosure: Mapped[dict[str, Any]]


class Extension(Base):
    """What one learner is granted; a time that is None is as for everybody."""

    __tablename__ = "extensions"

    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    due_at: Mapped[dt.datetime | None] = mapped_column(Second)
    closes_at: Mapped[dt.datetime | None] = mapped_column(Second)
    more_attempts: Mapped[int]
    reason: Mapped[str]
    given_by: Mapped[str]
    given_at: Mapped[dt.datetime]


class Entry(Base):
    """A submission that was sent for an assignment, `at` what moment, and its share of the points, once judged.

    `share` follows from the judging that stands.
    """

    __tablename__ = "entries"
    __table_args__ = (Index(None, "assignment_id", "learner_id", "exercise"),)

    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"))
    exercise: Mapped[str]
    at: Mapped[dt.datetime] = mapped_column(Second)
    share: Mapped[float | None]


class Mark(Base):
    """Of a learner's entries for an exercise the one that is best after its penalty; `sent` of how many.

    Of equals it is the earliest. `share` is what the judging gave, `kept` the share of it that lateness leaves. The
    row follows from the entries (`grader.store.gradebook.best`); it is kept because the gradebook of a large class must
    not rank them all.
    """

    __tablename__ = "marks"

    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    exercise: Mapped[str] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"))
    at: Mapped[dt.datetime] = mapped_column(Second)
    share: Mapped[float | None]
    late_seconds: Mapped[int] = mapped_column(BigInteger)
    kept: Mapped[float]
    sent: Mapped[int]


class Override(Base):
    """A score that staff have set, in points of the assignment."""

    __tablename__ = "overrides"
    __table_args__ = (CheckConstraint("trim(reason) <> ''", name="reason_given"),)

    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    exercise: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float]
    reason: Mapped[str]
    decided_by: Mapped[str]
    decided_at: Mapped[dt.datetime]


class Release(Base):
    """A token spent on a submission: its report is shown whole from then on."""

    __tablename__ = "releases"
    __table_args__ = (Index(None, "assignment_id", "learner_id"),)

    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"), primary_key=True)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"))
    at: Mapped[dt.datetime] = mapped_column(Second)


class Appeal(Base):
    """A request to have a grade looked at again; a submission has one at most that is open, for each assignment."""

    __tablename__ = "appeals"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'accepted', 'declined')", name="state"),
        CheckConstraint("(state = 'open') = (answered_at IS NULL)", name="answered"),
        Index(None, "assignment_id", "state"),
        Index(None, "submission_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("assignments.id"))
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"))
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"))
    reason: Mapped[str]
    state: Mapped[str]
    answer: Mapped[str]
    answered_by: Mapped[str]
    created_at: Mapped[dt.datetime]
    answered_at: Mapped[dt.datetime | None]
