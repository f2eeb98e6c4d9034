"""The tables, for SQLite and PostgreSQL alike.

learners            who sends
sources             what was sent, each content once, by hash
submissions         one sending of a source for an exercise; never changed
exercise_versions   what it was judged against, by content hash
judgings            one run of the judge on a submission; a rejudge adds one
outcomes            how one test of a judging ended
overrulings         why a judging waives the exercise's policy
"""

import datetime as dt
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[dt.datetime]):
    """A moment in UTC; SQLite forgets the time zone, so it is put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Write in UTC; a moment without a time zone is a mistake and fails."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(value)
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Read as UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Words(TypeDecorator[str]):
    """Text that may come from a student's file or command line.

    Lone surrogates cannot be stored anywhere and PostgreSQL refuses NUL: both become a question
    mark, so that an odd message never makes us lose a verdict.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be stored."""
        del dialect
        return None if value is None else value.encode("utf-8", "replace").decode().replace("\0", "?")


class Base(DeclarativeBase):
    """Constraints have names on every database, so that a later migration can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it as a plain class attribute
        str: Words,
        bytes: LargeBinary,
        dt.datetime: Moment,
        dict[str, Any]: JSON(none_as_null=True),
    }


class Learner(Base):
    """Whoever sends; embedded, the person at this machine."""

    __tablename__ = "learners"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[dt.datetime]


class Source(Base):
    """The bytes of a file as they came; equal files are stored once."""

    __tablename__ = "sources"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class Submission(Base):
    """What was sent, immutable: the database itself refuses to change one.

    `ordinal` is the order of arrival for this learner and exercise, from 1. It is not the attempt:
    a submission that ended in internal_error has an ordinal but uses no attempt up.
    """

    __tablename__ = "submissions"
    __table_args__ = (
        UniqueConstraint("learner_id", "exercise", "ordinal"),
        Index(None, "learner_id", "created_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"))
    exercise: Mapped[str]
    ordinal: Mapped[int]
    filename: Mapped[str]
    sha256: Mapped[str] = mapped_column(ForeignKey("sources.sha256"))
    created_at: Mapped[dt.datetime]


class ExerciseVersion(Base):
    """An exercise as it was; `version` hashes everything that can change a verdict.

    `max_score` is known from the first report on.
    """

    __tablename__ = "exercise_versions"
    __table_args__ = (UniqueConstraint("exercise", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    exercise: Mapped[str]
    version: Mapped[str]
    title: Mapped[str]
    max_score: Mapped[float | None]
    first_seen_at: Mapped[dt.datetime]


class Judging(Base):
    """One run of the judge, from queued over running to done.

    `tries` counts the claims, so it fences: a report is stored only if its claim is the last one.
    `lost` counts the claims whose holder died or let the lease run out. While queued, `owner` is
    the process that is about to claim it, if there is one.
    """

    __tablename__ = "judgings"
    __table_args__ = (
        UniqueConstraint("submission_id", "ordinal"),
        CheckConstraint("status IN ('queued', 'running', 'done')", name="status"),
        CheckConstraint("(status = 'done') = (verdict IS NOT NULL)", name="verdict_when_done"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"))
    exercise_version_id: Mapped[str] = mapped_column(ForeignKey("exercise_versions.id"))
    ordinal: Mapped[int]
    seed: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    tries: Mapped[int]
    lost: Mapped[int]
    owner: Mapped[str | None]
    lease_until: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime]
    claimed_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    verdict: Mapped[str | None]
    score: Mapped[float | None]
    max_score: Mapped[float | None]
    message: Mapped[str]
    environment: Mapped[dict[str, Any] | None]
    usage: Mapped[dict[str, Any] | None]
    log: Mapped[str]


class Outcome(Base):
    """How one test of a judging ended; `ordinal` keeps the order of the report, from 1."""

    __tablename__ = "outcomes"

    judging_id: Mapped[str] = mapped_column(ForeignKey("judgings.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int]
    title: Mapped[str]
    verdict: Mapped[str]
    points: Mapped[float]
    max_points: Mapped[float]
    message: Mapped[str]
    explanation: Mapped[str]


class Overruling(Base):
    """Why a judging waives the policy, immutable: who of the staff said so, when, for what reason."""

    __tablename__ = "overrulings"
    __table_args__ = (CheckConstraint("trim(reason) <> ''", name="reason_given"),)

    judging_id: Mapped[str] = mapped_column(ForeignKey("judgings.id"), primary_key=True)
    staff: Mapped[str]
    reason: Mapped[str]
    decided_at: Mapped[dt.datetime]
