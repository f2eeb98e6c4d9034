"""The store: submissions go in, judgings are claimed and finished, reports come out.

Each method is one transaction. What it returns is plain data; no session or row leaves it.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, CursorResult, Engine, and_, func, select, update
from sqlalchemy.orm import Session

from grader import __version__
from grader.errors import NotFound, UsageError
from grader.owner import is_alive, me
from grader.report import Environment, Report, Usage
from grader.store.ids import new_id
from grader.store.models import ExerciseVersion, Judging, Learner, Outcome, Overruling, Source, Submission
from grader.store.reads import attempt_of, history, latest, overruling, standing, to_report
from grader.verdict import Verdict

LOST_TRIES = 3
"""A judging whose holder was lost this many times is given up."""

_QUEUED_LEASE_SECONDS = 60.0
"""How long a queued judging is left to a submitter of whom we cannot tell whether it lives."""


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """A judging that waits; `attempt` counts from 1 for this learner and exercise."""

    submission: str
    judging: str
    attempt: int


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to judge, and all that judging needs.

    `token` is the number of this try: it fences, since a later claim has a higher one. `lost`
    counts the earlier claims whose holder died or let the lease run out. `overruled`: judge without
    the exercise's policy.
    """

    judging: str
    submission: str
    exercise: str
    version: str
    filename: str
    source: bytes
    seed: str
    token: int
    lost: int
    overruled: bool


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a history: a submission and the judging that stands for it."""

    attempt: int
    submission: str
    judging: str
    created_at: dt.datetime
    status: str
    verdict: Verdict | None
    score: float | None
    max_score: float | None
    sha256: str
    filename: str


class Store:
    """What was sent and how it was judged; made by `open_store`."""

    def __init__(self, engine: Engine, faults: Callable[[], AbstractContextManager[None]]) -> None:
        """`faults` turns the database's errors into ours, around each transaction."""
        self._engine = engine
        self._faults = faults

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Session]:
        with (
            self._faults(),
            Session(self._engine.execution_options(writes=writes), autoflush=False) as session,
            session.begin(),
        ):
            yield session

    def add_submission(
        self, *, learner: str, exercise: str, version: str, title: str, filename: str, source: bytes, seed: str
    ) -> Queued:
        """Keep what was sent, for good, and queue its first judging; this process is to claim it."""
        now = _now()
        sha256 = hashlib.sha256(source).hexdigest()
        with self._transaction(writes=True) as session:
            learner_id = _learner(session, learner, now)
            version_id = _version(session, exercise, version, title, now)
            if session.scalar(select(Source.sha256).where(Source.sha256 == sha256)) is None:
                session.add(Source(sha256=sha256, content=source))
            earlier = and_(Submission.learner_id == learner_id, Submission.exercise == exercise)
            submission = Submission(
                id=new_id("s"),
                learner_id=learner_id,
                exercise=exercise,
                ordinal=1 + (session.scalar(select(func.max(Submission.ordinal)).where(earlier)) or 0),
                filename=filename,
                sha256=sha256,
                created_at=now,
            )
            # What a row points to goes first: the models have no relationships to sort them by.
            session.flush()
            session.add(submission)
            session.flush()
            return _queue(session, submission, version_id, 1, seed)

    def rejudge(self, submission: str, *, seed: str | None = None) -> Queued:
        """Queue one more judging of a submission, against the version it was judged by last.

        With the seed of that judging, unless another is given, the verdict must come out the same; where
        the policy was overruled, it stays so.

        Raises:
            NotFound: E5101 no such submission.

        """
        with self._transaction(writes=True) as session:
            row, last = _last_judging(session, submission)
            queued = _queue(session, row, last.exercise_version_id, last.ordinal + 1, seed or last.seed)
            earlier = overruling(session, submission)
            if earlier is not None:
                _overrule(session, queued, earlier.staff, earlier.reason, earlier.decided_at)
            return queued

    def overrule(self, submission: str, *, staff: str, reason: str) -> Queued:
        """Queue one more judging, with the seed and version of the last, that waives the policy.

        Raises:
            NotFound: E5101 no such submission.
            UsageError: E2115 the judging that speaks for it is no policy violation, or another is under way.

        """
        with self._transaction(writes=True) as session:
            row, last = _last_judging(session, submission)
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
            queued = _queue(session, row, speaks.exercise_version_id, last.ordinal + 1, speaks.seed)
            _overrule(session, queued, staff, reason, _now())
            return queued

    def overruled(self, submission: str) -> bool:
        """Tell whether a submission is judged without the policy from now on."""
        with self._transaction(writes=False) as session:
            return overruling(session, submission) is not None

    def learner(self, submission: str) -> str:
        """Return whose submission it is.

        Raises:
            NotFound: E5101 no such submission.

        """
        query = select(Learner.name).join(Submission, Submission.learner_id == Learner.id)
        with self._transaction(writes=False) as session:
            name = session.scalar(query.where(Submission.id == submission))
        if name is None:
            raise _unknown(submission)
        return name

    def claim(self, judging: str, owner: str, lease_seconds: float) -> Claim | None:
        """Take a judging that is queued, or whose holder is dead or has let its lease run out.

        Returns None if another process holds it or it is done.

        Raises:
            NotFound: E5101 no such judging.

        """
        now = _now()
        with self._transaction(writes=True) as session:
            row = session.get(Judging, judging)
            if row is None:
                raise _unknown(judging)
            if row.status == "done" or (row.status == "running" and not _is_lost(row, now)):
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
            }
            if not _change(session, judging, row.tries, values, *unchanged):
                return None
            submission, version, source = session.execute(
                select(Submission, ExerciseVersion.version, Source.content)
                .join(Source, Source.sha256 == Submission.sha256)
                .join(ExerciseVersion, ExerciseVersion.id == row.exercise_version_id)
                .where(Submission.id == row.submission_id)
            ).one()
            return Claim(
                judging=judging,
                submission=submission.id,
                exercise=submission.exercise,
                version=version,
                filename=submission.filename,
                source=source,
                seed=row.seed,
                token=row.tries + 1,
                lost=lost,
                overruled=session.get(Overruling, judging) is not None,
            )

    def extend(self, claim: Claim, lease_seconds: float) -> bool:
        """Hold on to a claim for that long from now; False if it is no longer ours."""
        lease_until = _now() + dt.timedelta(seconds=lease_seconds)
        with self._transaction(writes=True) as session:
            return _change(session, claim.judging, claim.token, {"lease_until": lease_until}, _RUNNING)

    def release(self, claim: Claim) -> bool:
        """Put a judging back into the queue, for anyone; False if the claim is no longer ours."""
        with self._transaction(writes=True) as session:
            values = {"status": "queued", "owner": None, "lease_until": None}
            return _change(session, claim.judging, claim.token, values, _RUNNING)

    def finish(self, claim: Claim, report: Report) -> bool:
        """Store how a judging ended, whole or not at all; False if the claim is no longer ours.

        Where the report names another exercise version than the claim, it was judged against that
        one (the exercise has changed since it was sent), and so it is stored.
        """
        now = _now()
        with self._transaction(writes=True) as session:
            values = {
                "status": "done",
                "owner": None,
                "lease_until": None,
                "finished_at": now,
                "verdict": report.verdict.value,
                "score": report.score,
                "max_score": report.max_score,
                "message": report.message,
                "environment": msgspec.to_builtins(report.environment),
                "usage": msgspec.to_builtins(report.usage),
                "log": report.log,
            }
            if not _change(session, claim.judging, claim.token, values, _RUNNING):
                return False
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
                )
                for ordinal, test in enumerate(report.tests, start=1)
            )
            return True

    def give_up(self, claim: Claim, log: str) -> bool:
        """End a judging that was lost too often with internal_error; it uses no attempt up."""
        with self._transaction(writes=False) as session:
            max_score = session.scalar(
                select(ExerciseVersion.max_score).where(
                    ExerciseVersion.exercise == claim.exercise, ExerciseVersion.version == claim.version
                )
            )
        report = Report(
            exercise=claim.exercise,
            exercise_version=claim.version,
            verdict=Verdict.INTERNAL_ERROR,
            score=0.0,
            max_score=max_score or 0.0,
            message=f"The judging stopped {claim.lost} times before its end. No attempt was used.",
            tests=[],
            usage=Usage(),
            environment=Environment(grader=__version__, engine=""),
            seed=claim.seed,
            log=log,
        )
        return self.finish(claim, report)

    def unfinished(self) -> list[str]:
        """Return the judgings, oldest first, that are not done and that no process looks after."""
        now = _now()
        pending = select(Judging).where(Judging.status != "done").order_by(Judging.created_at, Judging.id)
        with self._transaction(writes=False) as session:
            return [row.id for row in session.scalars(pending) if _is_lost(row, now)]

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
            query = query.where(Submission.id == latest(learner), Judging.id == standing())
        elif which.startswith("j_"):
            query = query.where(Judging.id == which)
        else:
            query = query.where(Submission.id == which, Judging.id == standing())
        with self._transaction(writes=False) as session:
            found = session.execute(query).one_or_none()
            if found is None:
                raise _nothing_sent() if which is None else _unknown(which)
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
        with self._transaction(writes=False) as session:
            return [
                Attempt(
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
                )
                for submission, judging, attempt in session.execute(history(learner, exercise, limit))
            ]

    def source(self, submission: str) -> bytes:
        """Return the bytes of a submission as they came.

        Raises:
            NotFound: E5101 no such submission.

        """
        query = select(Source.content).join(Submission, Submission.sha256 == Source.sha256)
        with self._transaction(writes=False) as session:
            content = session.scalar(query.where(Submission.id == submission))
        if content is None:
            raise _unknown(submission)
        return content


_RUNNING = Judging.status == "running"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _learner(session: Session, name: str, now: dt.datetime) -> str:
    """Return the learner's id, making the learner if new.

    The row is locked until the commit, so that two submissions of one learner get their ordinals
    one after the other (SQLite has but one writer anyway).
    """
    found = session.scalar(select(Learner.id).where(Learner.name == name).with_for_update())
    if found is None:
        session.add(Learner(id=(found := new_id("l")), name=name, created_at=now))
    return found


def _version(session: Session, exercise: str, version: str, title: str, now: dt.datetime) -> str:
    """Return the id of an exercise version, noting it if it is new."""
    query = select(ExerciseVersion.id).where(ExerciseVersion.exercise == exercise, ExerciseVersion.version == version)
    found = session.scalar(query)
    if found is None:
        found = new_id("v")
        session.add(
            ExerciseVersion(
                id=found, exercise=exercise, version=version, title=title, max_score=None, first_seen_at=now
            )
        )
        session.flush()
    return found


def _queue(session: Session, submission: Submission, version_id: str, ordinal: int, seed: str) -> Queued:
    now = _now()
    judging = Judging(
        id=new_id("j"),
        submission_id=submission.id,
        exercise_version_id=version_id,
        ordinal=ordinal,
        seed=seed,
        status="queued",
        tries=0,
        lost=0,
        owner=me(),
        lease_until=now + dt.timedelta(seconds=_QUEUED_LEASE_SECONDS),
        created_at=now,
        message="",
        log="",
    )
    session.add(judging)
    return Queued(submission=submission.id, judging=judging.id, attempt=attempt_of(session, submission))


def _last_judging(session: Session, submission: str) -> tuple[Submission, Judging]:
    """Return a submission and the judging it was given last. Raises NotFound."""
    row = session.get(Submission, submission)
    if row is None:
        raise _unknown(submission)
    query = select(Judging).where(Judging.submission_id == submission).order_by(Judging.ordinal.desc()).limit(1)
    return row, session.scalars(query).one()


def _overrule(session: Session, queued: Queued, staff: str, reason: str, decided_at: dt.datetime) -> None:
    session.flush()  # the judging first
    session.add(Overruling(judging_id=queued.judging, staff=staff, reason=reason, decided_at=decided_at))


def _is_lost(judging: Judging, now: dt.datetime) -> bool:
    """Tell whether nobody looks after a judging that is not done."""
    if judging.owner is None or judging.lease_until is None:
        return True
    alive = is_alive(judging.owner)
    if alive is False:
        return True
    if alive and judging.status == "queued":
        return False  # its submitter is on the way to claim it, however slowly
    return judging.lease_until <= now


def _change(
    session: Session, judging: str, tries: int, values: dict[str, Any], *conditions: ColumnElement[bool]
) -> bool:
    """Update one judging if it is still at that try; the whole fence stands here."""
    statement = update(Judging).where(Judging.id == judging, Judging.tries == tries, *conditions).values(values)
    changed = session.execute(statement, execution_options={"synchronize_session": False})
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def _note_version(session: Session, claim: Claim, report: Report, now: dt.datetime) -> None:
    """Keep what a report tells about the exercise version: which it was, and its full score."""
    claimed, title = session.execute(
        select(ExerciseVersion.id, ExerciseVersion.title).where(
            ExerciseVersion.exercise == claim.exercise, ExerciseVersion.version == claim.version
        )
    ).one()
    judged = claimed
    if report.exercise_version != claim.version:
        judged = _version(session, claim.exercise, report.exercise_version, title, now)
        _change(session, claim.judging, claim.token, {"exercise_version_id": judged})
    if report.verdict is not Verdict.INTERNAL_ERROR:
        session.execute(
            update(ExerciseVersion)
            .where(ExerciseVersion.id == judged, ExerciseVersion.max_score.is_(None))
            .values(max_score=report.max_score),
            execution_options={"synchronize_session": False},
        )


def _unknown(which: str) -> NotFound:
    return NotFound(
        "E5101",
        f"no submission or judging {which!r}",
        cause="there is none with this id, or it belongs to somebody else",
        hint="`grader history EX` lists yours",
    )


def _nothing_sent() -> NotFound:
    return NotFound(
        "E5102", "nothing was submitted yet", cause="the history is empty", hint="`grader submit EX FILE` sends a file"
    )


def _not_judged(judging: Judging) -> NotFound:
    return NotFound(
        "E5103",
        f"judging {judging.id} has no report yet",
        cause=f"it is {judging.status}",
        hint="wait for it to end; one that was interrupted is taken up by the next `grader submit`",
    )
