"""The outbox: one row for each judging of a service that waits to be claimed.

The row is made in the transaction that queues the judging and goes in the one that claims it, so
it never lies about what waits; the message that a worker gets may be lost or come twice.

The line of a queue is in the order of priority, then turn, then age. A learner's next judging gets the
turn after that of the last, but none earlier than the one being served: so whoever has many waiting
is passed by whoever comes later with few (fair queueing, as routers do it with packets).
"""

import datetime as dt
import functools
from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from grader.records import Message
from grader.store.models import Judging, Outbox, Submission


def put(session: Session, judging: str, *, again: bool = False) -> None:
    """Let a queued judging wait, if it is a service's: behind the learner's others, or `again` in front of them."""
    session.flush()  # the judging first
    row = (
        select(Judging.id, Submission.learner_id, Judging.queue, Judging.priority, _turn(again), Judging.created_at)
        .join(Submission, Submission.id == Judging.submission_id)
        .where(Judging.id == judging, Judging.queue != "")
    )
    columns = ["judging_id", "learner_id", "queue", "priority", "turn", "created_at"]
    session.execute(insert(Outbox).from_select(columns, row))


@functools.cache  # making it takes a millisecond
def _turn(again: bool) -> ColumnElement[int]:  # noqa: FBT001  its only argument
    line = (Outbox.queue == Judging.queue, Outbox.priority == Judging.priority)
    now_served = select(func.coalesce(func.min(Outbox.turn), 1)).where(*line).scalar_subquery()
    last_of_mine = select(func.max(Outbox.turn)).where(*line, Outbox.learner_id == Submission.learner_id)
    mine = last_of_mine.scalar_subquery() + 1
    return now_served if again else case((mine > now_served, mine), else_=now_served)


def take(session: Session, judging: str) -> None:
    """End the waiting of a judging."""
    session.execute(delete(Outbox).where(Outbox.judging_id == judging))


def due(session: Session, limit: int, before: dt.datetime) -> list[Message]:
    """Return what was never sent, or last sent before that moment, in the order of the line."""
    query = (
        select(Outbox.judging_id, Outbox.queue, Outbox.priority)
        .where(or_(Outbox.sent_at.is_(None), Outbox.sent_at < before))
        .order_by(*_ORDER)
        .limit(limit)
    )
    return [
        Message(judging=judging, queue=queue, priority=priority) for judging, queue, priority in session.execute(query)
    ]


def sent(session: Session, judgings: list[str], now: dt.datetime) -> None:
    """Note that messages went out; a row that somebody is taking or noting this very moment is left alone."""
    rows = (
        select(Outbox.judging_id)
        .where(Outbox.judging_id.in_(judgings))
        .order_by(Outbox.judging_id)
        .with_for_update(skip_locked=True)
    )
    session.execute(
        update(Outbox).where(Outbox.judging_id.in_(rows)).values(sent_at=now),
        execution_options={"synchronize_session": False},
    )


def first(session: Session, queue: str, without: Collection[str]) -> Judging | None:
    """Return the first judging in the line of a queue, locked until the commit; None where nothing waits.

    Of exercises that are not `without`. One that another worker is taking this very moment is passed over; so is
    one that another has just taken, since PostgreSQL looks at the status again once it has the lock.
    """
    return session.scalar(
        select(Judging)
        .join(Outbox, Outbox.judging_id == Judging.id)
        .join(Submission, Submission.id == Judging.submission_id)
        .where(Outbox.queue == queue, Judging.status == "queued", Submission.exercise.not_in(without))
        .order_by(*_ORDER)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True, of=Judging)
    )


def position(session: Session, judging: str) -> int | None:
    """Return how many are before a judging in the line of its queue; None if it does not wait."""
    return session.scalar(_position(), {"judging": judging})


@functools.cache  # as above
def _position() -> Select[int]:
    queue = select(Outbox.queue).where(Outbox.judging_id == bindparam("judging")).scalar_subquery()
    line = _line(Outbox.queue == queue).subquery()
    return select(line.c.before).where(line.c.judging_id == bindparam("judging"))


def positions(session: Session) -> dict[str, int]:
    """Return how many are before each judging that waits, in the line of its queue."""
    return {judging: before for judging, before in session.execute(_line())}  # noqa: C416  as below


def oldest(session: Session) -> dict[str, dt.datetime]:
    """Return since when the longest has waited in each queue that has any."""
    rows = session.execute(select(Outbox.queue, func.min(Outbox.created_at)).group_by(Outbox.queue))
    return {queue: moment for queue, moment in rows}  # noqa: C416  as below


def waiting(session: Session) -> dict[str, int]:
    """Return how many judgings wait in each queue that has any."""
    rows = session.execute(select(Outbox.queue, func.count()).group_by(Outbox.queue))
    return {queue: number for queue, number in rows}  # noqa: C416  dict() of rows has no type


def _line(*where: ColumnElement[bool]) -> Select[str, int]:
    place = func.row_number().over(partition_by=Outbox.queue, order_by=_ORDER)
    return select(Outbox.judging_id, (place - 1).label("before")).where(*where)


_ORDER = (Outbox.priority.desc(), Outbox.turn, Outbox.created_at, Outbox.judging_id)
