"""What was sent and how it was judged, kept in SQL: the database is the truth. Its records are `grader.records`."""

from grader.store.database import open_store, version_at
from grader.store.store import LOST_TRIES, REGRADES_WAITING, Store

__all__ = ["LOST_TRIES", "REGRADES_WAITING", "Store", "open_store", "version_at"]
