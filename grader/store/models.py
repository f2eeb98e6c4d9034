"""The tables, for SQLite and PostgreSQL alike.

learners            who sends
sources             what was sent, each content once, by hash
submissions         one sending of a source for an exercise; never changed
exercise_versions   what it was judged against, by content hash
judgings            one run of the judge on a submission; a rejudge adds one
outcomes            how one test of a judging ended
overrulings         why a judging waives the exercise's policy

bests               a learner's best submission for each exercise, drawn from the judgings that stand
regrades            judging again what was judged against another version of an exercise
outbox              which judgings of a service wait to be claimed
requests            what a learner's client has sent under a key, so that sending again stores nothing

organisations       who teaches or hires
accounts            who may log in, for one organisation, as one learner
tokens              what a program logs in with
device_logins       logins of the command line that wait for a person's word in the browser
audit               who did what; it only grows
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
    desc,
    text,
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


def _where(condition: str) -> dict[str, Any]:
    """Return what makes an index hold only the rows that meet a condition; the migrations say so for PostgreSQL too.

    Here the mere word would load that dialect, and cost every embedded command 40 ms.
    """
    return {"sqlite_where": text(condition)}


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
        Index(None, "exercise", "id"),
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

    `speed_ratio`: how many times the reference's time an accepted submission takes; the largest of all timed calls.

    `counts` is false for a judging of a regrade that never lowers, and would have: it is kept, and speaks
    for nothing.

    `queue` names the workers of a service that it is for, empty where it is judged at once by its
    sender; a higher `priority` comes first. `phases` are moments in ISO 8601 by name: received,
    queued, claimed, ready, judged, stored.
    """

    __tablename__ = "judgings"
    __table_args__ = (
        UniqueConstraint("submission_id", "ordinal"),
        CheckConstraint("status IN ('queued', 'running', 'done')", name="status"),
        CheckConstraint("(status = 'done') = (verdict IS NOT NULL)", name="verdict_when_done"),
        Index("ix_judgings_regrade_id", "regrade_id", **_where("regrade_id IS NOT NULL")),
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
    verdict: Mapped[str | None] = mapped_column(index=True)
    score: Mapped[float | None]
    max_score: Mapped[float | None]
    speed_ratio: Mapped[float | None]
    message: Mapped[str]
    environment: Mapped[dict[str, Any] | None]
    usage: Mapped[dict[str, Any] | None]
    log: Mapped[str]
    queue: Mapped[str]
    priority: Mapped[int]
    phases: Mapped[dict[str, Any]]
    regrade_id: Mapped[str | None] = mapped_column(ForeignKey("regrades.id"))
    counts: Mapped[bool]


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
    speed: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))


class Overruling(Base):
    """Why a judging waives the policy, immutable: who of the staff said so, when, for what reason."""

    __tablename__ = "overrulings"
    __table_args__ = (CheckConstraint("trim(reason) <> ''", name="reason_given"),)

    judging_id: Mapped[str] = mapped_column(ForeignKey("judgings.id"), primary_key=True)
    staff: Mapped[str]
    reason: Mapped[str]
    decided_at: Mapped[dt.datetime]


class Best(Base):
    """The submission of a learner with the highest `share` of the points for an exercise.

    Of equals it is the fastest, then the earliest; `speed_ratio` is infinite where the judging has none, and so comes
    last on every database. It is the share that is compared, since another version of the exercise may have other
    points. The row follows from the judgings; it is kept because a leaderboard of a million submissions must not read
    them.
    """

    __tablename__ = "bests"
    __table_args__ = (Index("ix_bests_place", "exercise", desc("share"), "speed_ratio", "reached_at"),)

    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    exercise: Mapped[str] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"))
    score: Mapped[float]
    max_score: Mapped[float]
    share: Mapped[float]
    speed_ratio: Mapped[float]
    reached_at: Mapped[dt.datetime]


class Regrade(Base):
    """Judging again what was judged against another version of an exercise than this one, until `ended_at`.

    `organisation` is whose submissions, empty for everybody's; one regrade of them is under way at a time.
    `total` counts them at its begin; `reached` is the last submission that has its judging. `never_lower`:
    a judging that comes out lower than the one that stands does not count.
    """

    __tablename__ = "regrades"
    __table_args__ = (
        Index("ix_regrades_under_way", "exercise", "organisation", unique=True, **_where("ended_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    exercise: Mapped[str]
    exercise_version_id: Mapped[str] = mapped_column(ForeignKey("exercise_versions.id"))
    organisation: Mapped[str]
    never_lower: Mapped[bool]
    started_by: Mapped[str]
    queue: Mapped[str]
    total: Mapped[int]
    reached: Mapped[str]
    created_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]


class Outbox(Base):
    """A judging of a service that waits for its `turn`; `sent_at` is when its last message went out, if one did."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_line", "queue", desc("priority"), "turn", "created_at", "judging_id"),)

    judging_id: Mapped[str] = mapped_column(ForeignKey("judgings.id"), primary_key=True)
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"))
    queue: Mapped[str]
    priority: Mapped[int]
    turn: Mapped[int]
    created_at: Mapped[dt.datetime]
    sent_at: Mapped[dt.datetime | None]


class Request(Base):
    """What was stored under a client's idempotency key."""

    __tablename__ = "requests"

    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id"))
    created_at: Mapped[dt.datetime]


class Organisation(Base):
    """A school, a course or a company: names of accounts are unique in it."""

    __tablename__ = "organisations"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[dt.datetime]


class Account(Base):
    """Who may log in. Without `public_name` the learner is on no leaderboard."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("organisation_id", "name"),
        UniqueConstraint("organisation_id", "public_name", name="uq_accounts_organisation_id_public_name"),
        UniqueConstraint("oidc_issuer", "oidc_subject"),
        CheckConstraint("role IN ('learner', 'instructor', 'hiring', 'operator')", name="role"),
        CheckConstraint("(oidc_issuer IS NULL) = (oidc_subject IS NULL)", name="oidc_whole"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    organisation_id: Mapped[str] = mapped_column(ForeignKey("organisations.id"))
    learner_id: Mapped[str] = mapped_column(ForeignKey("learners.id"), unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str | None]
    oidc_issuer: Mapped[str | None]
    oidc_subject: Mapped[str | None]
    public_name: Mapped[str | None]
    created_at: Mapped[dt.datetime]
    disabled_at: Mapped[dt.datetime | None]


class Token(Base):
    """An access token: only its hash is kept. `scopes` are words with blanks between; used, to the minute."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str]
    scopes: Mapped[str]
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]


class DeviceLogin(Base):
    """A login by device code (RFC 8628); `account_id` is whoever approved it. It goes when the token is fetched."""

    __tablename__ = "device_logins"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    user_code: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str]
    scopes: Mapped[str]
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    polled_at: Mapped[dt.datetime | None]
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    denied: Mapped[bool]


class Audit(Base):
    """One act, for good: the database itself refuses to change or remove a row. Ids sort by time."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "account_id", "id"), Index(None, "subject", "id"))

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[dt.datetime]
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id"))
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]]
