"""Open a database: made and migrated if need be, refused if it is not ours.

A path is the embedded one, in SQLite; an address may also be PostgreSQL's (`grader.store.postgres`).
An SQLite database is looked at read-only first, so that one we must not touch stays as it is, byte for
byte. Nothing here imports alembic unless the version found differs from `HEAD`: opening costs
every command, migrating only the first after an upgrade.
"""

import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError

from grader.errors import OurFault
from grader.store.store import Store

HEAD = "0006"
"""The last migration; a test holds it against alembic's own idea."""

BUSY_SECONDS = 10.0
"""How long one writer waits for another; each of our transactions takes milliseconds."""

_SMALLEST = 512
"""Bytes of the smallest SQLite database: one page of the smallest size."""


def open_store(where: Path | str) -> Store:
    """Return the store at `where`, made and migrated as needed.

    That is the path of an SQLite file, or an address: `sqlite:///PATH` or
    `postgresql://USER:PASSWORD@HOST/DATABASE`. Of an SQLite file the folder is made for the owner alone
    (0700), and so is the file (0600); a database of PostgreSQL must exist.

    Raises:
        OurFault: E3101 cannot be created, opened or written; E3102 not a database of ours, or
            damaged; E3103 from a newer grader; E3104 busy for too long; E3105 any other failure;
            E3106 no server answers; E3107 login refused, or no such database; E3108 PostgreSQL too
            old; E3109 the address is not understood.

    """
    place = _place(where)
    if isinstance(place, Path):
        return _open_sqlite(place)
    from grader.store import postgres  # noqa: PLC0415  not installed where all is embedded

    return postgres.open_store(place, HEAD)


def version_at(where: Path | str) -> tuple[str, str]:
    """Return the migration that the database is at, empty if it has no tables, and the one that is needed.

    Changes nothing. Raises what `open_store` would.
    """
    place = _place(where)
    if isinstance(place, Path):
        with faults(place):
            return _known_version(place), HEAD
    from grader.store import postgres  # noqa: PLC0415  not installed where all is embedded

    return postgres.version_at(place, HEAD), HEAD


def _place(where: Path | str) -> Path | URL:
    """Return the path of an SQLite file, or the address of a server's database. Raises OurFault E3109."""
    if isinstance(where, Path):
        return where.absolute()
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise _not_understood() from None  # what they say may hold the password
    if url.drivername == "sqlite" and url.database:
        return Path(url.database).absolute()
    if url.drivername in {"postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    raise _not_understood()


def _not_understood() -> OurFault:
    return OurFault(
        "E3109",
        "the address of the database is not understood",
        cause="it is none of the forms postgresql://USER:PASSWORD@HOST:PORT/DATABASE and sqlite:///PATH",
        hint="write %40 for @, %2F for / and %23 for # in a password",
    )


def _open_sqlite(path: Path) -> Store:
    with faults(path):
        if _version(path) != HEAD:
            _prepare(path)
        for needed in (path, path.parent):
            if not os.access(needed, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(needed))
    return Store(connect(path), lambda: faults(path))


def connect(path: Path) -> Engine:
    """Return an engine on `path` that keeps no connection open between transactions.

    SQLite forbids to carry a connection over a fork, and judging forks.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # No isolation level: Python's own BEGIN would come too late; ours is below.
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
        poolclass=NullPool,
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # In WAL mode anything less may lose the last commits with the power.
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: one that starts by reading could not wait for another.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(path: Path) -> str:
    """Return the migration that the file is at, empty if there is none yet; changes nothing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if found.st_size == 0:
        return ""
    if found.st_size < _SMALLEST:  # SQLite takes it for an empty one, and would write over it
        raise _fault(path, "SQLITE_NOTADB", f"it has {found.st_size} bytes")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return ""
        if not {"alembic_version", "submissions"} <= tables:
            raise OurFault(
                "E3102",
                f"{path} is not a grader database",
                cause="it is an SQLite database of another program",
                hint="set GRADER_HOME to a folder of its own; the file was not changed",
            )
        (version,) = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
        if version is None:
            raise _fault(path, "SQLITE_CORRUPT", "it does not say its version")
        return str(version)


def _known_version(path: Path) -> str:
    """Return the migration that the file is at; raises OurFault E3103 where it is a newer grader's."""
    from grader.store import upgrade  # noqa: PLC0415  alembic: 0.2 s that only a migration needs to pay

    version = _version(path)
    if version and version not in upgrade.known():
        raise OurFault(
            "E3103",
            f"{path} was written by a newer grader",
            cause=f"it is at version {version}; this grader knows versions up to {HEAD}",
            hint="upgrade the grader, or set GRADER_HOME to another folder; the file was not changed",
        )
    return version


def _prepare(path: Path) -> None:
    """Create or migrate the database while no other process does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if _version(path) != HEAD:  # another process may have done it while we waited
            _migrate(path)
    finally:
        os.close(folder)


def _migrate(path: Path) -> None:
    """Bring the database up to `HEAD` in one transaction."""
    from grader.store import upgrade  # noqa: PLC0415  as above

    _known_version(path)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with connect(path).execution_options(writes=True).begin() as connection_in_transaction:
        upgrade.run(connection_in_transaction)


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn what the system or SQLite says about `path` into an error with cause and remedy."""
    try:
        yield
    except IntegrityError:
        raise  # a mistake in our own code, not a condition of this machine
    except (DatabaseError, sqlite3.DatabaseError) as error:
        said = error.orig if isinstance(error, DatabaseError) else error
        raise _fault(path, getattr(said, "sqlite_errorname", ""), str(said)) from error
    except OSError as error:
        raise _fault(path, "SQLITE_CANTOPEN", str(error)) from error


def _fault(path: Path, name: str, cause: str) -> OurFault:
    # An extended name such as SQLITE_READONLY_DIRECTORY starts with the plain one.
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return OurFault(
            "E3101",
            f"cannot create, open or write {path}",
            cause=cause,
            hint="make the folder writable, or set GRADER_HOME to one that is",
        )
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return OurFault(
            "E3102",
            f"{path} is not a grader database, or is damaged",
            cause=cause,
            hint="move the file away or restore a copy of it; the grader then starts a new one",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return OurFault(
            "E3104",
            f"{path} is busy",
            cause=f"another process has kept it locked for {BUSY_SECONDS:g} s",
            hint="close programs that have the file open, then try again",
        )
    return OurFault(
        "E3105",
        f"cannot read or write {path}",
        cause=cause,
        hint="check that the disk is neither full nor failing, then try again",
    )
