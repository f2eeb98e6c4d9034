"""Regrades: judging again what was judged against another version of its exercise.

A regrade is a row, and each judging of it is one: after a kill, whoever goes on sees what is left. Its submissions
are queued oldest first, a portion at a time, so that it fills no queue, and behind all who wait for a first verdict.
"""

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from grader.errors import UsageError
from grader.records import Candidate
from grader.regrade import Change, Mark, Regrading
from grader.store import reads, writes
from grader.store.ids import new_id
from grader.store.models import Account, Best, ExerciseVersion, Judging, Learner, Organisation, Regrade, Submission
from grader.verdict import Verdict

PRIORITY = -1
"""After everyone who waits for a first verdict."""

PORTION = 50
"""How many are queued in one transaction: on SQLite those who submit meanwhile wait for it."""

_QUEUES = {"cpu": "cpu", "cuda": "gpu"}
"""Whose workers judge a submission that names its device; the others go where their exercise is judged by now."""

_FAULT = Verdict.INTERNAL_ERROR.value


def candidates(
    session: Session, exercise: str, version: str, limit: int, *, after: str, organisation: str, leading: bool
) -> list[Candidate]:
    """Return submissions whose last verdict was reached against another version, the oldest first."""
    query = (
        select(Submission, Judging, ExerciseVersion.version, Learner.name, reads.attempt())
        .join(Learner, Learner.id == Submission.learner_id)
        .join(Judging, Judging.id == reads.standing())
        .join(ExerciseVersion, ExerciseVersion.id == Judging.exercise_version_id)
        .where(*_left(exercise, version, organisation), Submission.id > after)
        .order_by(Submission.id)
        .limit(limit)
    )
    if leading:
        later = aliased(Submission)
        same = (later.learner_id == Submission.learner_id, later.exercise == Submission.exercise)
        is_last = ~select(later.id).where(*same, later.ordinal > Submission.ordinal).exists()
        bests = select(Best.submission_id).where(Best.exercise == exercise)
        query = query.where(or_(is_last, Submission.id.in_(bests)))
    return [
        Candidate(
            submission=submission.id,
            learner=learner,
            attempt=attempt,
            filename=submission.filename,
            judging=judging.id,
            version=judged,
            verdict=Verdict(judging.verdict or _FAULT),
            score=judging.score or 0.0,
            max_score=judging.max_score or 0.0,
            seed=judging.seed,
        )
        for submission, judging, judged, learner, attempt in session.execute(query)
    ]


def count(session: Session, exercise: str, version: str, organisation: str) -> int:
    """Return how many submissions a regrade would judge."""
    query = select(func.count()).select_from(Submission).where(*_left(exercise, version, organisation))
    return session.scalars(query).one()


def _left(exercise: str, version: str, organisation: str) -> list[ColumnElement[bool]]:
    """Return what holds for a submission that is to be judged against this version.

    Its last verdict, whether it counts or not, is another version's, and no judging of it is under way.
    """
    last = aliased(Judging)
    wanted = select(ExerciseVersion.id).where(ExerciseVersion.exercise == exercise, ExerciseVersion.version == version)
    pending = select(Judging.submission_id).where(_under_way(Judging))
    conditions = [
        Submission.exercise == exercise,
        Submission.id.not_in(pending),
        select(last.id)
        .where(
            last.id == reads.standing(lowered=True),
            last.verdict != Verdict.CANCELLED.value,
            last.exercise_version_id.is_distinct_from(wanted.scalar_subquery()),
        )
        .exists(),
    ]
    if organisation:
        members = select(Account.learner_id).join(Organisation, Organisation.id == Account.organisation_id)
        conditions.append(Submission.learner_id.in_(members.where(Organisation.name == organisation)))
    return conditions


def begin(  # noqa: PLR0913  a row, each part by its name
    session: Session,
    *,
    exercise: str,
    version: str,
    title: str,
    organisation: str,
    never_lower: bool,
    by: str,
    queue: str,
    total: int,
) -> str | None:
    """Return the regrade of an exercise that is under way or, if `total` are to be judged, a new one."""
    now = writes.now_of(session)
    version_id = writes.version_id(session, exercise, version, title, now)
    mine = (Regrade.exercise == exercise, Regrade.organisation == organisation, Regrade.ended_at.is_(None))
    # One whose version is no more judges nothing of use.
    session.execute(update(Regrade).where(*mine, Regrade.exercise_version_id != version_id).values(ended_at=now))
    found = session.scalar(select(Regrade).where(*mine))
    if found is None and total:
        writes.add_new(
            session,
            Regrade,
            id=new_id("r"),
            exercise=exercise,
            exercise_version_id=version_id,
            organisation=organisation,
            never_lower=never_lower,
            started_by=by,
            queue=queue,
            total=total,
            reached="",
            created_at=now,
        )
        found = session.scalars(select(Regrade).where(*mine)).one()
    if found is None:
        return None
    if found.never_lower != never_lower:
        raise UsageError(
            "E2119",
            f"a regrade of {exercise} that {_manner(found.never_lower)} is under way",
            cause=f"{found.started_by} began it on {found.created_at:%Y-%m-%d %H:%M} UTC",
            hint=f"let it end first: grader regrade {exercise}{' --never-lower' if found.never_lower else ''}",
        )
    found.queue = queue  # whoever goes on says who judges
    return found.id


def _manner(never_lower: bool) -> str:  # noqa: FBT001  its only argument
    return "never lowers" if never_lower else "may lower"


def feed(session: Session, regrade: str, most_waiting: int) -> list[str]:
    """Queue the next portion of a regrade, if fewer wait than that; end it where nothing is left and nothing waits."""
    row = session.get(Regrade, regrade, with_for_update={"key_share": True})  # one at a time
    if row is None or row.ended_at is not None:
        return []
    made = select(func.count()).select_from(Judging).where(Judging.regrade_id == regrade, _under_way(Judging))
    waiting = session.scalars(made).one()
    if waiting >= most_waiting:
        return []
    version = session.get_one(ExerciseVersion, row.exercise_version_id).version
    query = (
        select(Submission.id)
        .where(*_left(row.exercise, version, row.organisation), Submission.id > row.reached)
        .order_by(Submission.id)
        .limit(min(PORTION, most_waiting - waiting))
    )
    page = session.scalars(query).all()
    if not page and not waiting:
        row.ended_at = writes.now_of(session)
    queued = []
    for submission in page:
        sent, last = writes.last_judging(session, submission)
        if last.status == "done":  # nobody came between
            judging = writes.judge_again(
                session,
                sent,
                last,
                version_id=row.exercise_version_id,
                queue=_QUEUES.get(sent.device, row.queue) if row.queue else "",
                priority=PRIORITY,
                regrade=row,
            )
            queued.append(judging.id)
        row.reached = submission
    return queued


def under_way(session: Session) -> list[str]:
    """Return the regrades of a service that are not ended."""
    return list(session.scalars(select(Regrade.id).where(Regrade.ended_at.is_(None), Regrade.queue != "")))


def list_(session: Session, *where: ColumnElement[bool]) -> list[Regrading]:
    """Return regrades and how far they are, the newest first."""
    number = func.count(Judging.id)
    query = (
        select(
            Regrade,
            ExerciseVersion.version,
            number.filter(_under_way(Judging)),
            number.filter(Judging.status == "done"),
            number.filter(Judging.verdict == _FAULT),
        )
        .join(ExerciseVersion, ExerciseVersion.id == Regrade.exercise_version_id)
        .outerjoin(Judging, Judging.regrade_id == Regrade.id)
        .where(*where)
        .group_by(Regrade.id, ExerciseVersion.version)
        .order_by(Regrade.id.desc())
    )
    return [
        Regrading(
            regrade=row.id,
            exercise=row.exercise,
            version=version,
            organisation=row.organisation,
            never_lower=row.never_lower,
            by=row.started_by,
            created_at=row.created_at,
            ended_at=row.ended_at,
            total=row.total,
            waiting=waiting,
            done=done,
            failed=failed,
        )
        for row, version, waiting, done, failed in session.execute(query)
    ]


def changes(session: Session, regrade: str, limit: int, after: str) -> list[Change]:
    """Return what a regrade has judged otherwise than before, by submission, the oldest first."""
    new, old, new_version, old_version = aliased(Judging), aliased(Judging), aliased(ExerciseVersion), ExerciseVersion
    query: Select[Submission, str, int, Judging, str, Judging, str] = (
        select(Submission, Learner.name, reads.attempt(), old, old_version.version, new, new_version.version)
        .join(new, new.submission_id == Submission.id)
        .join(old, old.id == reads.standing(before=new))
        .join(old_version, old_version.id == old.exercise_version_id)
        .join(new_version, new_version.id == new.exercise_version_id)
        .join(Learner, Learner.id == Submission.learner_id)
        .where(
            new.regrade_id == regrade,
            new.status == "done",
            new.verdict != _FAULT,
            or_(new.verdict != old.verdict, new.score != old.score, new.max_score != old.max_score),
            Submission.id > after,
        )
        .order_by(Submission.id)
        .limit(limit)
    )
    return [
        Change(
            learner=learner,
            submission=submission.id,
            attempt=attempt,
            before=_mark(before, old_name),
            after=_mark(now, new_name),
            counts=now.counts,
        )
        for submission, learner, attempt, before, old_name, now, new_name in session.execute(query)
    ]


def _mark(judging: Judging, version: str) -> Mark:
    return Mark(
        judging=judging.id,
        version=version,
        verdict=Verdict(judging.verdict or _FAULT),
        score=judging.score or 0.0,
        max_score=judging.max_score or 0.0,
    )


def _under_way(judging: type[Judging]) -> ColumnElement[bool]:
    return judging.status.in_(["queued", "running"])
