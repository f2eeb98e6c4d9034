"""What a test timed, beside its verdict, and what of it decides between equals; nothing in what was judged before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, and have the boards' index follow the new order."""
    infinite = "9e999" if op.get_bind().dialect.name == "sqlite" else "'Infinity'"
    op.add_column("outcomes", sa.Column("speed", sa.JSON(), nullable=True))
    op.add_column("judgings", sa.Column("speed_ratio", sa.Double(), nullable=True))
    op.add_column("bests", sa.Column("speed_ratio", sa.Double(), nullable=False, server_default=sa.text(infinite)))
    op.drop_index("ix_bests_place", "bests")
    op.create_index("ix_bests_place", "bests", ["exercise", sa.desc("share"), "speed_ratio", "reached_at"])
