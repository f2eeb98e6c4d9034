"""Open a server's database in PostgreSQL: migrated if need be, refused if it is not ours.

The database itself must exist, empty or a grader's. Nothing said about it holds its password.
"""

import functools
import os
import select
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from grader.errors import OurFault
from grader.store.store import Store

OLDEST = 15
"""The oldest PostgreSQL that the tests run on."""

BUSY_SECONDS = 10
"""How long one writer waits for another, or a thread for a connection."""

_IDLE_SECONDS = 30
"""A transaction whose process was stopped in its midst is ended, so that nobody waits for its locks for ever."""

_MIGRATING = 0x67726164
"""The advisory lock of whoever migrates a database."""

_REFUSED = ("password", "authentication", "pg_hba.conf", "does not exist", "permission denied", "not permitted")
"""In what the server says of a login that it refuses: such an error carries no code."""

_FULL = ("too many clients", "too many connections", "connection slots are reserved")
"""Likewise, where all its connections are in use."""


def open_store(url: URL, head: str) -> Store:
    """Return the store at `url`, at the migration `head`; for errors see `grader.store.open_store`."""
    engine, where = connect(url), _name(url)
    try:
        with faults(where), engine.begin() as connection:
            _prepare(connection, where, head)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, lambda: faults(where))


def version_at(url: URL, head: str) -> str:
    """Return the migration that the database is at, empty if it has no tables; changes nothing."""
    engine, where = connect(url), _name(url)
    try:
        with faults(where), engine.connect() as connection:
            return _known_version(connection, where, head)
    finally:
        engine.dispose()


def _name(url: URL) -> str:
    return f"{url.database} on {url.host or url.query.get('host') or 'this machine'}"


def connect(url: URL) -> Engine:
    """Return an engine with a small pool; a forked child opens connections of its own."""
    settings = f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout={_IDLE_SECONDS}s"
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=20,
        max_overflow=0,  # opening one takes longer than most transactions
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,  # sources and hashes have no place in a log
        connect_args={
            "connect_timeout": BUSY_SECONDS,
            "application_name": "grader",
            "options": f"{url.query.get('options', '')} {settings}",
        },
    )
    event.listen(engine, "checkout", functools.partial(_look, engine.dialect))
    alive = weakref.WeakSet([engine])

    def forget() -> None:
        # What a child inherits stays its parent's: closing it would end the parent's session on the server.
        for each in alive:
            each.dispose(close=False)

    os.register_at_fork(after_in_child=forget)
    return engine


def _look(dialect: Dialect, connection: Any, *_: object) -> None:
    """Have the pool open another connection where the server has ended this one: then there is something to read.

    To ask the server whether it is there, as `pool_pre_ping` does, takes as long as most of our questions.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        try:
            dialect.do_ping(connection)
        except psycopg.Error as error:
            raise DisconnectionError(str(error)) from error


def _prepare(connection: Connection, where: str, head: str) -> None:
    """Migrate what is older, while no other process does."""
    if _known_version(connection, where, head) == head:
        return
    from grader.store import upgrade  # noqa: PLC0415  as below

    connection.execute(text("SET LOCAL lock_timeout = 0"))  # another's migration takes the time it takes
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
    if _known_version(connection, where, head) != head:  # another process may have done it while we waited
        upgrade.run(connection)


def _known_version(connection: Connection, where: str, head: str) -> str:
    """Return the migration that the database is at; refuse what is not ours to write."""
    major = int((connection.dialect.server_version_info or (0,))[0])
    if major < OLDEST:
        raise OurFault(
            "E3108",
            f"the PostgreSQL of {where} is too old",
            cause=f"it is version {major}; the grader needs {OLDEST} or newer",
            hint="upgrade the server, or use another",
        )
    version = _version(connection, where)
    if version in {"", head}:
        return version
    from grader.store import upgrade  # noqa: PLC0415  alembic, which only a migration needs

    if version not in upgrade.known():
        raise OurFault(
            "E3103",
            f"{where} was written by a newer grader",
            cause=f"it is at version {version}; this grader knows versions up to {head}",
            hint="upgrade the grader here too; nothing was changed",
        )
    return version


def _version(connection: Connection, where: str) -> str:
    """Return the migration that the database is at, empty if it has no tables; changes nothing."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return ""
    if not {"alembic_version", "submissions"} <= tables:
        raise _not_ours(where, "it holds tables of another program")
    version = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar_one()
    if version is None:
        raise _not_ours(where, "it does not say its version")
    return str(version)


@contextmanager
def faults(where: str) -> Iterator[None]:
    """Turn what PostgreSQL says about a database into an error with cause and remedy."""
    try:
        yield
    except IntegrityError:
        raise  # a mistake in our own code, not a condition of the server
    except PoolTimeout as error:
        raise _busy(where, f"all connections were in use for {BUSY_SECONDS} s") from error
    except DBAPIError as error:
        raise _fault(where, error.orig, lost=error.connection_invalidated) from error


def _fault(where: str, said: BaseException | None, *, lost: bool) -> OurFault:
    cause = str(said).strip()
    locked = isinstance(said, (errors.LockNotAvailable, errors.DeadlockDetected))
    if locked or any(words in cause for words in _FULL):
        return _busy(where, cause)
    unreachable = lost or isinstance(said, (errors.AdminShutdown, errors.CannotConnectNow))
    if isinstance(said, errors.OperationalError) and said.sqlstate is None and not unreachable:
        if any(word in cause for word in _REFUSED):
            return OurFault(
                "E3107",
                f"the server refuses the login to {where}",
                cause=cause,
                hint="check user, password and database in the address; create the database where it is missing",
            )
        unreachable = True
    if unreachable:
        return OurFault(
            "E3106",
            f"no PostgreSQL answers for {where}",
            cause=cause,
            hint="check that the server runs and that host and port in the address are right, then try again",
        )
    return OurFault(
        "E3105",
        f"cannot read or write {where}",
        cause=cause,
        hint="look into the server's log; what was stored before is safe",
    )


def _busy(where: str, cause: str) -> OurFault:
    return OurFault("E3104", f"{where} is busy", cause=cause, hint="try again; if it lasts, see what the server does")


def _not_ours(where: str, cause: str) -> OurFault:
    return OurFault(
        "E3102",
        f"{where} is not a grader database, or is damaged",
        cause=cause,
        hint="name a database of the grader's own, or restore a backup; nothing was changed",
    )
