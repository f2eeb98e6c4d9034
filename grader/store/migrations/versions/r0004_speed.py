"""What a test timed, beside its verdict; nothing where it timed nothing, and in what was judged before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column of outcomes."""
    op.add_column("outcomes", sa.Column("speed", sa.JSON(), nullable=True))
