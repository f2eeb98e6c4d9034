"""A backup of PostgreSQL, as docs/operating.md says to take it, restored into a fresh database."""

import subprocess

import pytest
from sqlalchemy import make_url

from grader.store import open_store
from grader.store.identity import Identity
from tests.store import cluster as servers


@pytest.fixture
def backend():
    """Name the store whose backups are its own affair: SQLite's is a copy of one file."""
    return "postgresql"


def dump(cluster, database, path):
    """Write a backup, as the page says."""
    command = [servers._programs() / "pg_dump", "--format=custom", f"--file={path}", cluster.url(database)]
    subprocess.run(command, check=True)


def restore(cluster, database, path, *options):
    """Restore a backup, as the page says."""
    command = [servers._programs() / "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", *options]
    subprocess.run([*command, f"--dbname={cluster.url(database)}", path], check=True)


@pytest.fixture
def fresh(cluster):
    """Name a database without tables."""
    name = cluster.create()
    yield name
    cluster.drop(name)


def test_a_restored_backup_has_every_report_and_account(store, where, cluster, fresh, judge, school, tmp_path):
    """The same verdicts, reports, history and board; the same tokens are good."""
    ada = school["ada"]
    done = [judge(ada, score) for score in (1.0, 3.5, 2.0)]
    token, _ = Identity(store).issue_token(ada.id, label="", scopes=frozenset({"read"}), seconds=60, by=None)
    dump(cluster, make_url(where).database, tmp_path / "backup")
    restore(cluster, fresh, tmp_path / "backup")
    restored = open_store(cluster.url(fresh))
    try:
        for submission in done:
            assert restored.submission(submission) == store.submission(submission)
            assert restored.report(submission, ada.learner) == store.report(submission, ada.learner)
        assert restored.history(ada.learner, "softmax", 10) == store.history(ada.learner, "softmax", 10)
        assert Identity(restored).by_token(token) is not None
    finally:
        restored.close()


def test_what_was_judged_at_the_time_is_judged_again(store, where, cluster, fresh, send, report_on, tmp_path):
    """A judging whose worker held it when the backup was taken waits again after the restore; what waited waits."""
    waiting, held = send(store), send(store, learner="bob", source=b"x = 1\n")
    assert store.claim(held.judging, "a worker elsewhere", 0.001) is not None
    dump(cluster, make_url(where).database, tmp_path / "backup")
    restore(cluster, fresh, tmp_path / "backup")
    restored = open_store(cluster.url(fresh))
    try:
        restored.sweep()
        for queued in (waiting, held):
            claim = restored.claim(queued.judging, "a worker", 60.0)
            assert claim is not None
            assert restored.finish(claim, report_on(claim))
    finally:
        restored.close()


def test_a_backup_replaces_what_came_after_it(store, where, cluster, send, tmp_path):
    """Restored over the database in use: what was sent after the backup is gone, what was before is there."""
    name = make_url(where).database
    before = send(store)
    dump(cluster, name, tmp_path / "backup")
    after = send(store, source=b"y = 2\n")
    restore(cluster, name, tmp_path / "backup", "--clean", "--if-exists")
    assert [each.judging for each in store.watch([before.judging, after.judging])] == [before.judging]
