"""Overrulings of the policy: which judging waives it, who said so, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NEVER = """
CREATE TRIGGER overrulings_never_{change} BEFORE {change} ON overrulings
BEGIN SELECT RAISE(ABORT, 'an overruling is immutable'); END
"""


def upgrade() -> None:
    """Create the table; on SQLite, with triggers that keep each row as it came."""
    op.create_table(
        "overrulings",
        sa.Column("judging_id", sa.Text(), nullable=False),
        sa.Column("staff", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("trim(reason) <> ''", name=op.f("ck_overrulings_reason_given")),
        sa.ForeignKeyConstraint(["judging_id"], ["judgings.id"], name="fk_overrulings_judging_id_judgings"),
        sa.PrimaryKeyConstraint("judging_id", name="pk_overrulings"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in ("update", "delete"):
            op.execute(_NEVER.format(change=change))
