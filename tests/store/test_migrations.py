"""Migrations on both databases: they give what the models say, and lose nothing of an older store."""

import math
from contextlib import closing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from grader.errors import OurFault
from grader.store import database, open_store, version_at
from grader.store.models import Base

OLD = """
INSERT INTO learners VALUES ('l_1', 'ada', '2026-01-01'), ('l_2', 'bob', '2026-01-01');
INSERT INTO sources VALUES ('00', 'x');
INSERT INTO exercise_versions VALUES ('v_1', 'softmax', 'v1', 'Softmax', 4, '2026-01-01');
INSERT INTO submissions VALUES ('s_1', 'l_1', 'softmax', 1, 'a.py', '00', '2026-01-01'),
    ('s_2', 'l_1', 'softmax', 2, 'a.py', '00', '2026-01-02'), ('s_3', 'l_1', 'softmax', 3, 'a.py', '00', '2026-01-03'),
    ('s_4', 'l_1', 'softmax', 4, 'a.py', '00', '2026-01-04'), ('s_5', 'l_2', 'softmax', 1, 'a.py', '00', '2026-01-05');
INSERT INTO judgings (id, submission_id, exercise_version_id, ordinal, seed, status, tries, lost, created_at, verdict,
    score, max_score, message, environment, usage, log) VALUES
    ('j_1', 's_1', 'v_1', 1, '1', 'done', 1, 0, '2026-01-01', 'accepted', 4, 4, '', '{}', '{}', ''),
    ('j_2', 's_1', 'v_1', 2, '1', 'done', 1, 0, '2026-01-01', 'wrong_answer', 1, 4, '', '{}', '{}', ''),
    ('j_3', 's_1', 'v_1', 3, '1', 'done', 1, 3, '2026-01-01', 'internal_error', 0, 4, '', '{}', '{}', ''),
    ('j_4', 's_2', 'v_1', 1, '1', 'done', 1, 0, '2026-01-02', 'wrong_answer', 3, 4, '', '{}', '{}', ''),
    ('j_5', 's_3', 'v_1', 1, '1', 'done', 1, 0, '2026-01-03', 'wrong_answer', 3, 4, '', '{}', '{}', ''),
    ('j_6', 's_4', 'v_1', 1, '1', 'queued', 0, 0, '2026-01-04', NULL, NULL, NULL, '', NULL, NULL, ''),
    ('j_7', 's_5', 'v_1', 1, '1', 'done', 1, 3, '2026-01-05', 'internal_error', 0, 4, '', '{}', '{}', '')
"""
"""What steps 1 and 2 could hold: a best that a rejudge took back, two equal ones, one under way, one our fault."""


def test_models_and_migrations_agree(nowhere):
    """Upgrading from empty gives what the models say: alembic finds nothing to change."""
    with closing(open_store(nowhere)) as store, store._engine.connect() as connection:
        # On SQLite alembic cannot tell a descending index from an expression: there the name must do.
        unsure = set() if connection.dialect.name == "postgresql" else {"ix_bests_place", "ix_outbox_line"}
        options = {"compare_type": True, "include_object": lambda _, name, *__: name not in unsure}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        made = {index["name"] for table in ("bests", "outbox") for index in inspect(connection).get_indexes(table)}
        assert made == {"ix_bests_place", "ix_outbox_line"}
        # alembic does not compare these.
        for name, table in Base.metadata.tables.items():
            wanted = {str(check.name) for check in table.constraints if type(check).__name__ == "CheckConstraint"}
            assert {check["name"] for check in inspect(connection).get_check_constraints(name)} == wanted


@pytest.mark.parametrize("step", ["0001", "0002"])
def test_an_older_store_is_brought_up_to_date(step, nowhere, path):
    """Nothing is lost, and each learner's best is found among the judgings that stand, the earliest of equals."""
    path.parent.mkdir()
    engine = create_engine(nowhere.replace("postgresql:", "postgresql+psycopg:"))
    config = Config()
    config.set_main_option("script_location", "grader.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, step)
        for statement in OLD.split(";"):
            connection.exec_driver_sql(statement)
    with closing(open_store(nowhere)) as store:
        assert store.unfinished() == ["j_6"]
        assert [line.judging for line in store.history("ada", "softmax", 9)] == ["j_6", "j_5", "j_4", "j_2"]
        assert store.progress("j_6").phases == {}
    with engine.connect() as connection:
        bests = connection.exec_driver_sql(
            "SELECT learner_id, submission_id, score, max_score, speed_ratio FROM bests"
        ).all()
    engine.dispose()
    assert [tuple(best) for best in bests] == [("l_1", "s_2", 3.0, 4.0, math.inf)]


def test_an_upgrade_starts_from_an_older_version(where, store, send, tmp_path, monkeypatch):
    """A database behind this grader is migrated when opened, and loses nothing."""
    queued = send(store)
    code = """
from alembic import op
import sqlalchemy as sa
revision = "9001"
down_revision = {head!r}
def upgrade():
    op.add_column("learners", sa.Column("nickname", sa.Text()))
"""
    folder = tmp_path / "a folder 100%" / "versions"
    folder.mkdir(parents=True)
    (folder / "nickname.py").write_text(code.format(head=database.HEAD))
    from_config = ScriptDirectory.from_config

    def with_one_more(config):
        config.set_main_option(
            "version_locations", "grader.store.migrations:versions\n" + str(folder).replace("%", "%%")
        )
        config.set_main_option("path_separator", "newline")
        return from_config(config)

    monkeypatch.setattr(ScriptDirectory, "from_config", with_one_more)
    monkeypatch.setattr(database, "HEAD", "9001")
    with closing(open_store(where)) as newer, newer._engine.connect() as connection:
        assert newer.source(queued.submission) == b"def softmax(x): ...\n"
        assert "nickname" in {column["name"] for column in inspect(connection).get_columns("learners")}
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9001"


def test_the_version_can_be_asked_for(nowhere, path):
    """Empty before the first tables, then the last; asking makes nothing."""
    assert version_at(nowhere) == ("", database.HEAD)
    assert not path.exists()
    with closing(open_store(nowhere)) as store:
        assert version_at(nowhere) == (database.HEAD, database.HEAD)
        with store._engine.execution_options(writes=True).begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(OurFault) as caught:
        version_at(nowhere)
    assert caught.value.code == "E3103"
