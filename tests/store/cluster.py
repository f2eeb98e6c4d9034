"""A PostgreSQL of the tests' own: made in a temporary folder, reached over a Unix socket, gone at the end.

PostgreSQL refuses to run as root, so where the tests do, it runs as the user `postgres`.
"""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off")
"""A test's database need not survive the power's loss."""


class Cluster:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds its socket."""
        self.folder = folder
        self._numbers = itertools.count()

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements, each in a transaction of its own; return the rows of the last."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, template: str = "template1") -> str:
        """Create a database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def start(*options: str) -> Iterator[Cluster]:
    """Make and start a server with more `options` for its program; stop and remove it at the end."""
    owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="grader-postgres-"))
    try:
        shutil.chown(folder, owner)
        data, log = folder / "data", folder / "log"
        _run(owner, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        serve = ["-k", str(folder), "-c", "listen_addresses=", *options]
        _run(owner, "pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", " ".join(serve))
        try:
            yield Cluster(folder)
        finally:
            _run(owner, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
    finally:
        shutil.rmtree(folder)


def _run(owner: str, program: str, *arguments: object) -> None:
    # In a session of its own: Ctrl-C is for the tests, which then stop the server.
    done = subprocess.run(
        [_programs() / program, *map(str, arguments)],
        user=owner if os.geteuid() == 0 else None,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{program}: {done.stderr}"


def _programs() -> Path:
    """Return the folder of PostgreSQL's own programs, the newest version's; it is on nobody's PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
    if not places:
        said = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        places = [Path(said.stdout.strip())]
    return places[-1]
