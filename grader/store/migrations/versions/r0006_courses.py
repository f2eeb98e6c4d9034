"""Courses: rosters, assignments, extensions, what was sent for an assignment, scores set by hand, appeals."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_MOMENT = sa.DateTime(timezone=True)
_TABLES: dict[str, dict[str, tuple[Any, bool]]] = {
    "courses": {
        "id": (sa.Text, False),
        "organisation": (sa.Text, False),
        "name": (sa.Text, False),
        "title": (sa.Text, False),
        "timezone": (sa.Text, False),
        "created_by": (sa.Text, False),
        "created_at": (_MOMENT, False),
    },
    "members": {
        "course_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "login": (sa.Text, False),
        "name": (sa.Text, False),
        "given_name": (sa.Text, False),
        "family_name": (sa.Text, False),
        "identifier": (sa.Text, False),
        "email": (sa.Text, False),
        "cohort": (sa.Text, False),
        "added_at": (_MOMENT, False),
        "left_at": (_MOMENT, True),
    },
    "assignments": {
        "id": (sa.Text, False),
        "course_id": (sa.Text, False),
        "name": (sa.Text, False),
        "title": (sa.Text, False),
        "opens_at": (sa.BigInteger, True),
        "due_at": (sa.BigInteger, True),
        "closes_at": (sa.BigInteger, True),
        "late": (sa.Text, False),
        "late_percent": (sa.Double, False),
        "late_unit": (sa.Integer, False),
        "late_floor": (sa.Double, False),
        "attempts": (sa.Integer, True),
        "cooldown_seconds": (sa.Integer, False),
        "disclosure": (sa.Text, False),
        "tokens": (sa.Integer, False),
        "token_seconds": (sa.Integer, False),
        "created_at": (_MOMENT, False),
        "published_at": (_MOMENT, True),
    },
    "items": {
        "assignment_id": (sa.Text, False),
        "exercise": (sa.Text, False),
        "ordinal": (sa.Integer, False),
        "points": (sa.Double, False),
        "disclosure": (sa.JSON, False),
    },
    "extensions": {
        "assignment_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "due_at": (sa.BigInteger, True),
        "closes_at": (sa.BigInteger, True),
        "more_attempts": (sa.Integer, False),
        "reason": (sa.Text, False),
        "given_by": (sa.Text, False),
        "given_at": (_MOMENT, False),
    },
    "entries": {
        "submission_id": (sa.Text, False),
        "assignment_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "exercise": (sa.Text, False),
        "at": (sa.BigInteger, False),
        "share": (sa.Double, True),
    },
    "marks": {
        "assignment_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "exercise": (sa.Text, False),
        "submission_id": (sa.Text, False),
        "at": (sa.BigInteger, False),
        "share": (sa.Double, True),
        "late_seconds": (sa.BigInteger, False),
        "kept": (sa.Double, False),
        "sent": (sa.Integer, False),
    },
    "overrides": {
        "assignment_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "exercise": (sa.Text, False),
        "score": (sa.Double, False),
        "reason": (sa.Text, False),
        "decided_by": (sa.Text, False),
        "decided_at": (_MOMENT, False),
    },
    "releases": {
        "submission_id": (sa.Text, False),
        "assignment_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "at": (sa.BigInteger, False),
    },
    "appeals": {
        "id": (sa.Text, False),
        "assignment_id": (sa.Text, False),
        "learner_id": (sa.Text, False),
        "submission_id": (sa.Text, False),
        "reason": (sa.Text, False),
        "state": (sa.Text, False),
        "answer": (sa.Text, False),
        "answered_by": (sa.Text, False),
        "created_at": (_MOMENT, False),
        "answered_at": (_MOMENT, True),
    },
}
_KEYS = {
    "courses": ["id"],
    "members": ["course_id", "learner_id"],
    "assignments": ["id"],
    "items": ["assignment_id", "exercise"],
    "extensions": ["assignment_id", "learner_id"],
    "entries": ["submission_id", "assignment_id"],
    "marks": ["assignment_id", "learner_id", "exercise"],
    "overrides": ["assignment_id", "learner_id", "exercise"],
    "releases": ["submission_id", "assignment_id"],
    "appeals": ["id"],
}
_OF = {"course_id": "courses", "learner_id": "learners", "assignment_id": "assignments", "submission_id": "submissions"}
_UNIQUE = {
    "courses": ["organisation", "name"],
    "members": ["course_id", "login"],
    "assignments": ["course_id", "name"],
}
_CHECKS = {
    "assignments": {
        "disclosure": "disclosure IN ('never', 'after_due', 'always')",
        "late_unit": "late_unit > 0",
    },
    "overrides": {"reason_given": "trim(reason) <> ''"},
    "appeals": {
        "state": "state IN ('open', 'accepted', 'declined')",
        "answered": "(state = 'open') = (answered_at IS NULL)",
    },
}
_INDEXES = [
    ("members", ["learner_id"]),
    ("items", ["exercise"]),
    ("entries", ["assignment_id", "learner_id", "exercise"]),
    ("releases", ["assignment_id", "learner_id"]),
    ("appeals", ["assignment_id", "state"]),
    ("appeals", ["submission_id"]),
]


def upgrade() -> None:
    """Make the tables, which nothing older fills."""
    for table, columns in _TABLES.items():
        constraints: list[sa.Constraint] = [sa.PrimaryKeyConstraint(*_KEYS[table], name=f"pk_{table}")]
        if table in _UNIQUE:
            constraints.append(sa.UniqueConstraint(*_UNIQUE[table], name=f"uq_{table}_{'_'.join(_UNIQUE[table])}"))
        constraints += [
            sa.ForeignKeyConstraint([column], [f"{_OF[column]}.id"], name=f"fk_{table}_{column}_{_OF[column]}")
            for column in columns
            if column in _OF
        ]
        constraints += [
            sa.CheckConstraint(text, name=op.f(f"ck_{table}_{name}")) for name, text in _CHECKS.get(table, {}).items()
        ]
        made = [sa.Column(name, kind, nullable=nullable) for name, (kind, nullable) in columns.items()]
        op.create_table(table, *made, *constraints)
    for table, indexed in _INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(indexed)}", table, indexed)
