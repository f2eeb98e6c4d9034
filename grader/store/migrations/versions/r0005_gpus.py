"""GPUs that workers offer, and the device that a submission was sent for."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("submissions", sa.Column("device", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "gpus",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("quarantine", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judging_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["judging_id"], ["judgings.id"], name=op.f("fk_gpus_judging_id_judgings")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gpus")),
    )
