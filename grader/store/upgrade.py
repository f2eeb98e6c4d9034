"""Bring a database up to the last migration, with alembic."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def known() -> set[str]:
    """Return the versions that this grader knows."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def run(connection: Connection) -> None:
    """Migrate over a connection that is in a transaction; whoever began it commits."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "grader.store:migrations")
    return config
