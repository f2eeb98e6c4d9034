"""The first tables: who sent what, and how it was judged."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_IMMUTABLE = """
CREATE TRIGGER submissions_never_change BEFORE UPDATE ON submissions
BEGIN SELECT RAISE(ABORT, 'a submission is immutable'); END
"""


def upgrade() -> None:
    """Create the tables; on SQLite, with a trigger that keeps submissions as they came."""
    op.create_table(
        "exercise_versions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("exercise", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("max_score", sa.Double(), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exercise_versions"),
        sa.UniqueConstraint("exercise", "version", name="uq_exercise_versions_exercise_version"),
    )
    op.create_table(
        "learners",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_learners"),
        sa.UniqueConstraint("name", name="uq_learners_name"),
    )
    op.create_table(
        "sources",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_sources"),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("learner_id", sa.Text(), nullable=False),
        sa.Column("exercise", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["learner_id"], ["learners.id"], name="fk_submissions_learner_id_learners"),
        sa.ForeignKeyConstraint(["sha256"], ["sources.sha256"], name="fk_submissions_sha256_sources"),
        sa.PrimaryKeyConstraint("id", name="pk_submissions"),
        sa.UniqueConstraint("learner_id", "exercise", "ordinal", name="uq_submissions_learner_id_exercise_ordinal"),
    )
    op.create_index("ix_submissions_learner_id_created_at", "submissions", ["learner_id", "created_at"])
    op.create_table(
        "judgings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("exercise_version_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("max_score", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=True),
        sa.Column("usage", sa.JSON(), nullable=True),
        sa.Column("log", sa.Text(), nullable=False),
        sa.CheckConstraint("(status = 'done') = (verdict IS NOT NULL)", name=op.f("ck_judgings_verdict_when_done")),
        sa.CheckConstraint("status IN ('queued', 'running', 'done')", name=op.f("ck_judgings_status")),
        sa.ForeignKeyConstraint(
            ["exercise_version_id"], ["exercise_versions.id"], name="fk_judgings_exercise_version_id_exercise_versions"
        ),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="fk_judgings_submission_id_submissions"),
        sa.PrimaryKeyConstraint("id", name="pk_judgings"),
        sa.UniqueConstraint("submission_id", "ordinal", name="uq_judgings_submission_id_ordinal"),
    )
    op.create_index("ix_judgings_status", "judgings", ["status"])
    op.create_table(
        "outcomes",
        sa.Column("judging_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("points", sa.Double(), nullable=False),
        sa.Column("max_points", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["judging_id"], ["judgings.id"], name="fk_outcomes_judging_id_judgings"),
        sa.PrimaryKeyConstraint("judging_id", "name", name="pk_outcomes"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_IMMUTABLE)
