"""A server's database: opened, migrated, or refused with a remedy and without a word on the password."""

import datetime as dt
import os
import signal
from contextlib import closing
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from grader.errors import OurFault
from grader.owner import me
from grader.store import open_store, postgres, writes

SECRET = "s3cr%40et"  # noqa: S105  nobody's


@pytest.fixture
def name(cluster):
    """Return the name of a migrated database."""
    name = cluster.create("migrated")
    yield name
    cluster.drop(name)


@pytest.fixture
def store(cluster, name):
    """Return a store in PostgreSQL."""
    store = open_store(cluster.url(name))
    yield store
    store.close()


def _refused(url):
    """Open what cannot be opened: return the error, which must not tell the password."""
    with pytest.raises(OurFault) as caught:
        open_store(url)
    fault = caught.value
    assert fault.cause
    assert fault.hint
    for said in (fault.what, fault.cause, fault.hint, str(fault.__cause__)):
        assert "s3cr" not in said
    return fault


def test_commits_survive_the_power_and_transactions_see_what_is_committed(store):
    """Nothing that PostgreSQL does to be safe is turned off, and nobody holds a lock for ever."""
    with store._engine.connect() as connection:
        values = {
            setting: connection.exec_driver_sql(f"SHOW {setting}").scalar()
            for setting in (
                "synchronous_commit",
                "transaction_isolation",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        }
    assert values == {
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "30s",
    }


def test_a_pool_of_connections_is_kept_and_checked(cluster, name, store, send):
    """One that the server has closed meanwhile is replaced before it is used: nobody notices."""
    queued = send(store)
    closed = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
    assert len(cluster.run(closed)) == 1
    assert store.source(queued.submission) == b"def softmax(x): ...\n"


def test_a_connection_that_breaks_in_the_midst_is_told_and_leaves_nothing(cluster, name, store, send):
    """E3106; the next try goes through."""

    def kill(connection):
        cluster.run(f"SELECT pg_terminate_backend({connection.connection.dbapi_connection.info.backend_pid})")

    event.listen(store._engine, "commit", kill)
    with pytest.raises(OurFault) as caught:
        send(store)
    event.remove(store._engine, "commit", kill)
    assert caught.value.code == "E3106"
    assert store.history("ada", "softmax", 9) == []
    assert send(store).attempt == 1


def test_a_fork_keeps_its_hands_off_the_parents_connections(store, send):
    """The child opens its own; what the parent holds still works after the child has used the store and gone."""
    send(store)
    with store._engine.connect() as held:
        before = held.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        child = os.fork()
        if child == 0:
            with store._engine.connect() as own:
                differs = own.exec_driver_sql("SELECT pg_backend_pid()").scalar() != before
            os._exit(0 if differs and send(store).attempt == 2 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert held.exec_driver_sql("SELECT pg_backend_pid()").scalar() == before
    assert send(store).attempt == 3


@pytest.mark.parametrize("table", ["submissions", "overrulings", "audit"])
def test_what_is_for_good_cannot_be_changed(table, store, execute, send, report_on):
    """The triggers that SQLite had from the first are here too, TRUNCATE included where nothing may go."""
    send(store)
    column = {"submissions": "filename", "overrulings": "reason", "audit": "action"}[table]
    changes = [f"UPDATE {table} SET {column} = 'other'"]  # noqa: S608  three literals of this test
    if table != "submissions":
        changes += [f"DELETE FROM {table}", f"TRUNCATE {table}"]  # noqa: S608  likewise
    for change in changes:
        with pytest.raises(IntegrityError, match=r"immutable|only grows"):
            execute(change)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_both_forms_of_the_address_open_the_same_store(scheme, cluster, name, store, send):
    """The driver need not be named."""
    queued = send(store)
    url = cluster.url(name).replace("postgresql", scheme, 1)
    with closing(open_store(url)) as same:
        assert same.source(queued.submission) == b"def softmax(x): ...\n"


def test_options_of_the_address_hold(cluster, name):
    """What an operator sets there is kept beside our own settings."""
    url = cluster.url(name) + "&options=-c%20statement_timeout%3D7s"
    with closing(open_store(url)) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "7s"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "10s"


def test_an_address_of_sqlite_opens_a_file(path, store, send):
    """As a path does; the folder is made."""
    with closing(open_store(f"sqlite:///{path}")) as embedded:
        send(embedded)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(open_store(path).history("ada", "softmax", 9)) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "grader.sqlite3",
        "sqlite://",
        f"mysql://ada:{SECRET}@localhost/grader",
        f"postgresql+asyncpg://ada:{SECRET}@localhost/grader",
        f"postgresql://ada:{SECRET}@localhost:{SECRET}/grader",
        f"postgresql://ada:{SECRET}/{SECRET}:5432",
        f"postgresql//ada:{SECRET}@localhost/grader",
    ],
)
def test_an_address_that_is_none_is_told(url):
    """E3109 with the forms there are; neither it nor what caused it repeats the address."""
    assert _refused(url).code == "E3109"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{SECRET}@127.0.0.1:1/grader",
        f"postgresql://ada:{SECRET}@/grader?host=/nowhere",
        f"postgresql://ada:{SECRET}@host.invalid/grader",
    ],
)
def test_a_server_that_does_not_answer_is_told(url):
    """E3106: refused, no such socket, no such host."""
    fault = _refused(url)
    assert fault.code == "E3106"
    assert "grader on " in fault.what


def test_a_missing_database_is_told(cluster):
    """E3107 names it."""
    fault = _refused(cluster.url("missing"))
    assert fault.code == "E3107"
    assert "missing" in fault.cause


def test_a_refused_login_is_told(cluster, name):
    """E3107 for an unknown user, a wrong password, a role without login, and a database that lets nobody in."""
    assert _refused(cluster.url(name, user="nobody")).code == "E3107"
    rules = cluster.folder / "data/pg_hba.conf"
    before = rules.read_text()
    try:
        cluster.run("CREATE ROLE ada LOGIN PASSWORD 'right'", "CREATE ROLE group_ NOLOGIN")
        rules.write_text(f"local {name} ada scram-sha-256\nlocal {name} eve reject\n{before}")
        cluster.run("SELECT pg_reload_conf()")
        for user in (f"ada:{SECRET}", "ada", "group_", f"eve:{SECRET}"):
            assert _refused(cluster.url(name, user=user)).code == "E3107"
    finally:
        rules.write_text(before)
        cluster.run("SELECT pg_reload_conf()", "DROP ROLE ada", "DROP ROLE group_")


def test_too_many_connections_are_told(cluster, name):
    """E3104: it is busy, and the next try may go through."""
    cluster.run("CREATE ROLE few LOGIN", f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    try:
        assert _refused(cluster.url(name, user="few")).code == "E3104"
    finally:
        cluster.run("DROP ROLE few")


def test_a_lock_that_is_never_let_go_is_told(cluster, name, store, send, monkeypatch):
    """E3104 after the time to wait; nothing of ours is written."""
    send(store)
    monkeypatch.setattr(postgres, "BUSY_SECONDS", 1)
    with closing(open_store(cluster.url(name))) as impatient, psycopg.connect(cluster.url(name)) as other:
        other.execute("SELECT * FROM learners FOR UPDATE")
        with pytest.raises(OurFault) as caught:
            send(impatient)
    assert caught.value.code == "E3104"
    assert len(store.history("ada", "softmax", 9)) == 1


def test_a_store_of_a_user_without_rights_is_told(cluster, name, send):
    """E3105 with what PostgreSQL says of it."""
    cluster.run("CREATE ROLE reader LOGIN")
    cluster.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database=name)
    try:
        with closing(open_store(cluster.url(name, user="reader"))) as store, pytest.raises(OurFault) as caught:
            send(store)
    finally:
        cluster.run("DROP OWNED BY reader", "DROP ROLE reader", database=name)
    assert caught.value.code == "E3105"
    assert "permission denied" in caught.value.cause


def test_an_old_postgresql_is_refused(cluster, name, monkeypatch):
    """E3108 names the version found and the one needed, and nothing is migrated."""
    monkeypatch.setattr(postgres, "OLDEST", 99)
    fault = _refused(cluster.url(name))
    assert fault.code == "E3108"
    assert "99" in fault.cause


def test_a_newer_database_is_refused_and_left_alone(cluster, name):
    """E3103 names both versions."""
    cluster.run("UPDATE alembic_version SET version_num = '9999'", database=name)
    fault = _refused(cluster.url(name))
    assert fault.code == "E3103"
    assert "9999" in fault.cause
    assert cluster.run("SELECT version_num FROM alembic_version", database=name) == [("9999",)]


@pytest.mark.parametrize(
    ("template", "change"),
    [
        ("template1", "CREATE TABLE bookmarks (url text)"),
        ("template1", "CREATE TABLE alembic_version (version_num text)"),
        ("migrated", "DELETE FROM alembic_version"),
    ],
)
def test_a_database_that_is_not_ours_is_refused_and_left_alone(template, change, cluster):
    """E3102: another program's tables are nothing to migrate into, nor are ours without their version."""
    name = cluster.create(template)
    cluster.run(change, database=name)
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    before = cluster.run(tables, database=name)
    try:
        assert _refused(cluster.url(name)).code == "E3102"
        assert cluster.run(tables, database=name) == before
    finally:
        cluster.drop(name)


def test_leases_go_by_the_databases_clock(store, send, monkeypatch):
    """A worker whose own clock is years late neither loses its claim nor keeps it for ever."""
    queued = send(store, queue="cpu")
    late = SimpleNamespace(now=lambda zone: dt.datetime(2000, 1, 1, tzinfo=zone))
    monkeypatch.setattr(writes, "dt", SimpleNamespace(datetime=late, timedelta=dt.timedelta, UTC=dt.UTC))
    claim = store.claim(queued.judging, me(), 600.0)
    with store._engine.connect() as connection:
        left = connection.execute(text("SELECT extract(epoch FROM lease_until - now()) FROM judgings")).scalar()
    assert 590 < left < 610
    assert store.sweep().requeued == []
    assert store.extend(claim, 600.0)


def test_a_process_that_is_stopped_in_a_transaction_blocks_nobody_for_ever(cluster, name, store, send, child):
    """The server ends its transaction, and with it the lock that others wait for."""
    code = """
import sys
from grader.store import open_store, postgres
from grader.store.models import Learner
from sqlalchemy import select
postgres._IDLE_SECONDS = 1
store = open_store(sys.argv[1])
with store.transaction(writes=True) as session:
    session.execute(select(Learner).with_for_update())
    print("locked", flush=True)
    sys.stdin.readline()
"""
    send(store)
    stopped = child(code, cluster.url(name))
    assert stopped.stdout.readline() == "locked\n"
    stopped.send_signal(signal.SIGSTOP)
    assert send(store).attempt == 2
