"""The GPUs that workers offer: leased to one judging at a time, and kept from everybody once one is at fault."""

import datetime as dt
from collections.abc import Collection

from sqlalchemy import ColumnElement, CursorResult, or_, select, update
from sqlalchemy.orm import Session

from grader import records
from grader.owner import is_alive
from grader.store import writes
from grader.store.models import Gpu
from grader.store.store import Store

SEEN_SECONDS = 120.0
"""After so long without a word of its worker a GPU counts as gone; a worker speaks four times in between."""


class Gpus:
    """The GPUs in a store."""

    def __init__(self, store: Store) -> None:
        """Keep them where submissions are kept."""
        self._store = store

    def offer(self, worker: str, gpus: Collection[records.Gpu]) -> None:
        """Note that these are here now, each as it is described; who holds one, and a quarantine, stay as they are."""
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            for each in sorted(gpus, key=lambda gpu: gpu.id):
                told = {"worker": worker, "model": each.model, "driver": each.driver, "memory_mib": each.memory_mib}
                writes.add_new(session, Gpu, id=each.id, quarantine="", seen_at=now, **told)
                session.execute(update(Gpu).where(Gpu.id == each.id).values(seen_at=now, **told))

    def lease(self, gpus: Collection[str], owner: str, seconds: float) -> records.Leased | None:
        """Take one of these that is free, for so long; None where each is held or in quarantine."""
        query = (
            select(Gpu).where(Gpu.id.in_(gpus), Gpu.quarantine == "").order_by(Gpu.id).with_for_update(skip_locked=True)
        )
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            for row in session.scalars(query):
                if not _is_held(row, now):
                    abandoned = row.owner is not None
                    row.owner, row.lease_until, row.judging_id = owner, now + dt.timedelta(seconds=seconds), None
                    return records.Leased(gpu=row.id, abandoned=abandoned)
        return None

    def extend(self, gpu: str, owner: str, seconds: float) -> bool:
        """Hold on to one for that long from now; False if it is no longer ours."""
        with self._store.transaction(writes=True) as session:
            until = writes.now_of(session) + dt.timedelta(seconds=seconds)
            return _change(session, Gpu.id == gpu, Gpu.owner == owner, lease_until=until)

    def assign(self, gpu: str, owner: str, judging: str) -> bool:
        """Say which judging one is held for; False if it is no longer ours."""
        with self._store.transaction(writes=True) as session:
            return _change(session, Gpu.id == gpu, Gpu.owner == owner, judging_id=judging)

    def release(self, gpu: str, owner: str) -> bool:
        """Let one go; False if it was no longer ours."""
        with self._store.transaction(writes=True) as session:
            return _change(session, Gpu.id == gpu, Gpu.owner == owner, owner=None, lease_until=None)

    def quarantine(self, gpu: str, reason: str) -> bool:
        """Keep everybody from one, for this reason, unless there was one already; whoever holds it is not disturbed."""
        with self._store.transaction(writes=True) as session:
            return _change(session, Gpu.id == gpu, Gpu.quarantine == "", quarantine=reason.strip() or "unknown")

    def restore(self, gpu: str) -> bool:
        """Lift a quarantine; False where there is none, or no such GPU."""
        with self._store.transaction(writes=True) as session:
            return _change(session, Gpu.id == gpu, Gpu.quarantine != "", quarantine="")

    def offered(self) -> bool:
        """Tell whether a worker offers any that may be had, now or once it is free."""
        with self._store.transaction(writes=False) as session:
            since = writes.now_of(session) - dt.timedelta(seconds=SEEN_SECONDS)
            query = select(Gpu.id).where(Gpu.quarantine == "", Gpu.seen_at > since).limit(1)
            return session.scalar(query) is not None

    def all(self) -> list[records.Gpu]:
        """Return those seen lately and those in quarantine, by worker."""
        with self._store.transaction(writes=False) as session:
            now = writes.now_of(session)
            since = now - dt.timedelta(seconds=SEEN_SECONDS)
            query = select(Gpu).where(or_(Gpu.seen_at > since, Gpu.quarantine != "")).order_by(Gpu.worker, Gpu.id)
            return [
                records.Gpu(
                    id=row.id,
                    worker=row.worker,
                    model=row.model,
                    driver=row.driver,
                    memory_mib=row.memory_mib,
                    quarantine=row.quarantine,
                    seen_at=row.seen_at,
                    judging=row.judging_id if _is_held(row, now) else None,
                )
                for row in session.scalars(query)
            ]


def _is_held(row: Gpu, now: dt.datetime) -> bool:
    """Tell whether somebody holds a GPU who is not known to be dead."""
    if row.owner is None or row.lease_until is None or row.lease_until <= now:
        return False
    return is_alive(row.owner) is not False


def _change(session: Session, *conditions: ColumnElement[bool], **values: object) -> bool:
    statement = update(Gpu).where(*conditions).values(**values)
    changed = session.execute(statement, execution_options={"synchronize_session": False})
    return isinstance(changed, CursorResult) and changed.rowcount == 1
