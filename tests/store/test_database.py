"""Opening the embedded store: made, migrated, or refused without a scratch."""

import hashlib
import os
import shutil
import sqlite3
import stat
from contextlib import closing

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import event

from grader.errors import OurFault
from grader.store import database, open_store


@pytest.fixture
def store(path):
    """Return a fresh store in a file."""
    return open_store(path)


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_new_store_is_for_its_owner_alone(path, store):
    """Folder 0700, file 0600: a submission is nobody else's business."""
    assert store.unfinished() == []
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_folder_keeps_its_rights(tmp_path):
    """Only a folder that we make gets our mode."""
    tmp_path.chmod(0o750)
    open_store(tmp_path / "grader.sqlite3")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_relative_path_stays_the_same_file(tmp_path, monkeypatch, send):
    """A later change of directory does not lead the store elsewhere."""
    monkeypatch.chdir(tmp_path)
    store = open_store(tmp_path.relative_to(tmp_path) / "grader.sqlite3")
    os.chdir("/")
    send(store)
    assert len(open_store(tmp_path / "grader.sqlite3").history("ada", "softmax", 10)) == 1


def test_opening_again_keeps_everything(path, store, send):
    """What was stored is there after the next start."""
    queued = send(store)
    assert open_store(path).source(queued.submission) == b"def softmax(x): ...\n"


def test_an_empty_file_becomes_a_store(path):
    """A creation that died right after its first step is simply done again."""
    path.parent.mkdir()
    path.touch()
    assert open_store(path).unfinished() == []


def test_head_is_alembics_head():
    """The constant that spares us importing alembic names the last migration, and there is one line of them."""
    config = Config()
    config.set_main_option("script_location", "grader.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [database.HEAD]


def test_the_connection_is_set_up(path, store):
    """WAL, foreign keys, a patient writer, and commits that survive a power cut."""
    assert store.unfinished() == []
    with database.connect(path).connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
    assert values == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 10_000, "synchronous": 2}


def test_a_newer_database_is_refused_and_left_alone(path, store, send):
    """Not one byte of the file changes, and the error says which version and what to do."""
    send(store)
    _run(path, "UPDATE alembic_version SET version_num = '9999'")
    before = _digest(path)
    with pytest.raises(OurFault) as caught:
        open_store(path)
    assert caught.value.code == "E3103"
    assert "9999" in caught.value.cause
    assert "upgrade the grader" in caught.value.hint
    assert _digest(path) == before


def test_a_newer_database_with_an_unfinished_log_is_left_alone(path, tmp_path, store, send):
    """After a crash of the newer grader its last commits are still in the log; neither file changes."""
    send(store)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        for name in (path.name, path.name + "-wal"):
            shutil.copy(path.parent / name, crashed / name)
    log = crashed / (path.name + "-wal")
    before = _digest(crashed / path.name), _digest(log)
    with pytest.raises(OurFault) as caught:
        open_store(crashed / path.name)
    assert caught.value.code == "E3103"
    assert (_digest(crashed / path.name), _digest(log)) == before


@pytest.mark.parametrize("content", [b"not a database\n" * 100, b"x", b"SQLite format 3\0" + bytes(range(256)) * 16])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path, content):
    """Text, a single byte, a right first line with rubbish behind it."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(OurFault) as caught:
        open_store(path)
    assert caught.value.code == "E3102"
    assert path.read_bytes() == content


def test_a_cut_off_database_is_refused_and_left_alone(path, store, send):
    """A copy that broke off halfway is damaged, and said to be."""
    send(store)
    os.truncate(path, 4096)
    before = _digest(path)
    with pytest.raises(OurFault) as caught:
        open_store(path)
    assert caught.value.code == "E3102"
    assert _digest(path) == before


def test_a_database_without_a_version_is_refused_and_left_alone(path, store):
    """Our tables without a word on their version are damage, not a place to migrate into."""
    assert store.unfinished() == []
    _run(path, "DELETE FROM alembic_version")
    before = _digest(path)
    with pytest.raises(OurFault) as caught:
        open_store(path)
    assert caught.value.code == "E3102"
    assert _digest(path) == before


@pytest.mark.parametrize(
    "table", ["CREATE TABLE bookmarks (url TEXT)", "CREATE TABLE alembic_version (version_num TEXT)"]
)
def test_a_database_of_another_program_is_refused_and_left_alone(path, table):
    """Tables that are not ours, even alembic's own, are nothing to migrate into."""
    path.parent.mkdir()
    _run(path, table)
    before = _digest(path)
    with pytest.raises(OurFault) as caught:
        open_store(path)
    assert caught.value.code == "E3102"
    assert "another program" in caught.value.cause
    assert _digest(path) == before


def test_damage_found_later_is_told_too(path, store, send):
    """Where the header is whole and a page is not, the first use of that page says so."""
    send(store, source=b"x" * 200_000)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(OurFault) as caught:
        open_store(path).history("ada", "softmax", 1)
    assert caught.value.code == "E3102"


@pytest.mark.parametrize("where", ["/proc/grader/grader.sqlite3", "/dev/null/grader.sqlite3"])
def test_a_place_where_nothing_can_be_made_is_told(where, tmp_path):
    """No folder can be made there, by anyone: E3101 names the place, the cause and a way out."""
    with pytest.raises(OurFault) as caught:
        open_store(tmp_path / where)
    assert caught.value.code == "E3101"
    assert where in caught.value.what
    assert caught.value.cause
    assert "GRADER_HOME" in caught.value.hint


def test_a_folder_in_the_files_place_is_told(path):
    """A folder of that name cannot be opened as a database."""
    path.mkdir(parents=True)
    with pytest.raises(OurFault) as caught:
        open_store(path)
    assert caught.value.code == "E3101"


@pytest.mark.parametrize(("folder", "file"), [(0o500, 0o600), (0o700, 0o400)], ids=["folder", "file"])
def test_a_read_only_place_is_told(path, store, child, folder, file):
    """An existing store that may not be written is refused at once, not at the first submission."""
    assert store.unfinished() == []
    path.chmod(file)
    path.parent.chmod(folder)
    try:
        assert _code_without_root(child, path) == "E3101"
    finally:
        path.parent.chmod(0o700)


def _code_without_root(child, path):
    """Open `path` in a process that has given up root's right to write everywhere; return the error's code.

    Only CAP_DAC_OVERRIDE and its like go: the process stays the owner of the files.
    """
    code = """
import ctypes, pathlib, sys
from grader.errors import OurFault
from grader.store import open_store
libc = ctypes.CDLL(None, use_errno=True)
if libc.geteuid() == 0:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0
try:
    open_store(pathlib.Path(sys.argv[1]))
except OurFault as fault:
    print(fault.code)
"""
    return child(code, path).communicate()[0].strip()


def test_a_database_that_stays_locked_is_told(path, store, send, monkeypatch):
    """Another program that never lets go is named as the cause, and nothing of ours is written."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)
    impatient = open_store(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OurFault) as caught:
            send(impatient)
    assert caught.value.code == "E3104"
    assert store.history("ada", "softmax", 1) == []


def test_a_full_disk_is_told(path, store, send):
    """What does not fit is not written at all."""
    send(store)
    engine = database.connect(path)

    @event.listens_for(engine, "connect")
    def _limit(connection, _record):
        connection.execute("PRAGMA max_page_count = 1")

    full = type(store)(engine, lambda: database.faults(path))
    with pytest.raises(OurFault) as caught:
        send(full, source=b"x" * 1_000_000)
    assert caught.value.code == "E3105"
    assert "full" in caught.value.cause
    assert len(store.history("ada", "softmax", 10)) == 1


def test_opening_an_up_to_date_store_does_not_import_alembic(path, store, child):
    """Each command pays for opening, so it must stay cheap."""
    assert store.unfinished() == []
    code = """
import pathlib, sys
from grader.store import open_store
open_store(pathlib.Path(sys.argv[1])).unfinished()
print(sorted({name.partition(".")[0] for name in sys.modules} & {"alembic", "mako", "numpy", "torch"}))
"""
    assert child(code, path).communicate()[0] == "[]\n"
