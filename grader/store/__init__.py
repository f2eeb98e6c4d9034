"""What was sent and how it was judged, kept in SQL: the database is the truth."""

from grader.store.database import open_store, version_at
from grader.store.records import (
    Attempt,
    Candidate,
    Claim,
    Filed,
    Judged,
    Message,
    Place,
    Progress,
    Queued,
    Sent,
    Swept,
)
from grader.store.store import LOST_TRIES, REGRADES_WAITING, Store

__all__ = [
    "LOST_TRIES",
    "REGRADES_WAITING",
    "Attempt",
    "Candidate",
    "Claim",
    "Filed",
    "Judged",
    "Message",
    "Place",
    "Progress",
    "Queued",
    "Sent",
    "Store",
    "Swept",
    "open_store",
    "version_at",
]
