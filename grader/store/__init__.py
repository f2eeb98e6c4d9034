"""What was sent and how it was judged, kept in SQL: the database is the truth."""

from grader.store.database import open_store
from grader.store.store import LOST_TRIES, Attempt, Claim, Queued, Store

__all__ = ["LOST_TRIES", "Attempt", "Claim", "Queued", "Store", "open_store"]
