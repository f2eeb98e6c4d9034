"""What a service needs: the outbox, requests, accounts, tokens, the audit trail, regrades, each learner's best.

On PostgreSQL, also the triggers that the first two steps made on SQLite alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# The judging that stands is the last that did not end by our own fault.
_BESTS = """
INSERT INTO bests (learner_id, exercise, submission_id, score, max_score, share, reached_at)
WITH standing AS (
    SELECT submission_id, score, max_score, coalesce(score / nullif(max_score, 0), 0) AS share,
        row_number() OVER (PARTITION BY submission_id ORDER BY ordinal DESC) AS nth
    FROM judgings WHERE status = 'done' AND verdict <> 'internal_error'
), ranked AS (
    SELECT s.learner_id, s.exercise, s.id, j.score, j.max_score, j.share, s.created_at,
        row_number() OVER (PARTITION BY s.learner_id, s.exercise ORDER BY j.share DESC, s.created_at, s.id) AS place
    FROM submissions s JOIN standing j ON j.submission_id = s.id WHERE j.nth = 1
)
SELECT learner_id, exercise, id, score, max_score, share, created_at FROM ranked WHERE place = 1
"""

_AUDIT_ON_SQLITE = """
CREATE TRIGGER audit_never_{change} BEFORE {change} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END
"""

_REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$
"""
_REFUSED = """
CREATE TRIGGER {table}_never_change BEFORE {changes} ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('{message}')
"""


def upgrade() -> None:
    """Add the columns of judgings, the tables, their triggers, and what is known of the bests."""
    op.add_column("judgings", sa.Column("queue", sa.Text(), nullable=False, server_default=""))
    op.add_column("judgings", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("judgings", sa.Column("phases", sa.JSON(), nullable=False, server_default="{}"))
    op.create_index("ix_judgings_verdict", "judgings", ["verdict"])
    _regrades()
    op.create_index("ix_submissions_exercise_id", "submissions", ["exercise", "id"])
    _queue()
    _identity()
    op.execute(_BESTS)
    if op.get_bind().dialect.name == "sqlite":
        for change in ("update", "delete"):
            op.execute(_AUDIT_ON_SQLITE.format(change=change))
    else:
        op.execute(_REFUSE)
        for table, changes, message in (
            ("submissions", "UPDATE", "a submission is immutable"),
            ("overrulings", "UPDATE OR DELETE OR TRUNCATE", "an overruling is immutable"),
            ("audit", "UPDATE OR DELETE OR TRUNCATE", "the audit trail only grows"),
        ):
            op.execute(_REFUSED.format(table=table, changes=changes, message=message))


def _regrades() -> None:
    op.create_table(
        "regrades",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("exercise", sa.Text(), nullable=False),
        sa.Column("exercise_version_id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("never_lower", sa.Boolean(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("reached", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["exercise_version_id"], ["exercise_versions.id"], name="fk_regrades_exercise_version_id_exercise_versions"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_regrades"),
    )
    under_way = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_regrades_under_way",
        "regrades",
        ["exercise", "organisation"],
        unique=True,
        sqlite_where=under_way,
        postgresql_where=under_way,
    )
    # Not by `add_column`: SQLite takes a reference with the column or never, and alembic would add it afterwards.
    reference = "CONSTRAINT fk_judgings_regrade_id_regrades REFERENCES regrades (id)"
    op.execute(f"ALTER TABLE judgings ADD COLUMN regrade_id TEXT {reference}")
    op.add_column("judgings", sa.Column("counts", sa.Boolean(), nullable=False, server_default=sa.true()))
    of_regrades = sa.text("regrade_id IS NOT NULL")
    op.create_index(
        "ix_judgings_regrade_id", "judgings", ["regrade_id"], sqlite_where=of_regrades, postgresql_where=of_regrades
    )


def _queue() -> None:
    op.create_table(
        "bests",
        sa.Column("learner_id", sa.Text(), nullable=False),
        sa.Column("exercise", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("max_score", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["learner_id"], ["learners.id"], name="fk_bests_learner_id_learners"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="fk_bests_submission_id_submissions"),
        sa.PrimaryKeyConstraint("learner_id", "exercise", name="pk_bests"),
    )
    op.create_index("ix_bests_place", "bests", ["exercise", sa.desc("share"), "reached_at"])
    op.create_table(
        "outbox",
        sa.Column("judging_id", sa.Text(), nullable=False),
        sa.Column("learner_id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["judging_id"], ["judgings.id"], name="fk_outbox_judging_id_judgings"),
        sa.ForeignKeyConstraint(["learner_id"], ["learners.id"], name="fk_outbox_learner_id_learners"),
        sa.PrimaryKeyConstraint("judging_id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_line", "outbox", ["queue", sa.desc("priority"), "turn", "created_at", "judging_id"])
    op.create_table(
        "requests",
        sa.Column("learner_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["learner_id"], ["learners.id"], name="fk_requests_learner_id_learners"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="fk_requests_submission_id_submissions"),
        sa.PrimaryKeyConstraint("learner_id", "key", name="pk_requests"),
    )


def _identity() -> None:
    op.create_table(
        "organisations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organisations"),
        sa.UniqueConstraint("name", name="uq_organisations_name"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("learner_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("oidc_issuer", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.Text(), nullable=True),
        sa.Column("public_name", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('learner', 'instructor', 'hiring', 'operator')", name=op.f("ck_accounts_role")),
        sa.CheckConstraint("(oidc_issuer IS NULL) = (oidc_subject IS NULL)", name=op.f("ck_accounts_oidc_whole")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name="fk_accounts_organisation_id_organisations"
        ),
        sa.ForeignKeyConstraint(["learner_id"], ["learners.id"], name="fk_accounts_learner_id_learners"),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("learner_id", name="uq_accounts_learner_id"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_accounts_organisation_id_name"),
        sa.UniqueConstraint("organisation_id", "public_name", name="uq_accounts_organisation_id_public_name"),
        sa.UniqueConstraint("oidc_issuer", "oidc_subject", name="uq_accounts_oidc_issuer_oidc_subject"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_tokens_account_id_accounts"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )
    op.create_index("ix_tokens_account_id", "tokens", ["account_id"])
    op.create_table(
        "device_logins",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("user_code", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("denied", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_device_logins_account_id_accounts"),
        sa.PrimaryKeyConstraint("sha256", name="pk_device_logins"),
        sa.UniqueConstraint("user_code", name="uq_device_logins_user_code"),
    )
    op.create_index("ix_device_logins_expires_at", "device_logins", ["expires_at"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_audit_account_id_accounts"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_account_id_id", "audit", ["account_id", "id"])
    op.create_index("ix_audit_subject_id", "audit", ["subject", "id"])
