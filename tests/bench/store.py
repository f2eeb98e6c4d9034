"""How long the store's reads and writes take among many submissions, on PostgreSQL and on SQLite.

`python -m tests.bench.store --rows 1000000` makes a server and a file of its own with so many submissions, a fiftieth
as many learners, and 2,000 judgings that wait; prints minimum, median and 95th percentile of each call, then the plans.
"""

import argparse
import itertools
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Engine, event, text

from grader.owner import me
from grader.report import Environment, Report, Usage
from grader.store import Store, open_store
from grader.store.identity import Identity
from grader.store.migrations.versions import r0003_service
from grader.verdict import Verdict
from tests.store import cluster

EXERCISES = ("adam", "attention", "backprop", "conv2d", "lstm-cell", "softmax")
PER_LEARNER = 50
WAITING = 2000
HEAVY = 2000
"""Submissions of one learner for one exercise, beside all others."""

MOMENT = {
    "postgresql": "timestamptz '2026-01-01' + {} * interval '1 second'",
    "sqlite": "datetime('2026-01-01', {} || ' seconds')",
}
NUMBERS = "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < {}) SELECT i FROM c"
# Every fiftieth submission of a learner is judged twice; 3 learners of 10 show a name.
FILL = """
INSERT INTO organisations VALUES ('o_1', 'school', {begin});
INSERT INTO learners SELECT 'l_' || i, 'school/' || i, {begin} FROM ({numbers}) AS n WHERE i <= {learners};
INSERT INTO learners VALUES ('l_heavy', 'school/heavy', {begin});
INSERT INTO accounts (id, organisation_id, learner_id, name, role, public_name, created_at)
    SELECT 'a_' || i, 'o_1', 'l_' || i, CAST(i AS TEXT), 'learner',
        CASE WHEN i % 10 < 3 THEN 'Name ' || i END, {begin} FROM ({numbers}) AS n WHERE i <= {learners};
INSERT INTO sources VALUES ('00', 'x');
INSERT INTO exercise_versions SELECT 'v_' || i, {exercise}, 'v1', 'Title', 4, {begin}
    FROM ({numbers}) AS n WHERE i < 6;
INSERT INTO submissions SELECT 's_' || (1000000000 + i), 'l_' || (1 + i % {learners}), {exercise_of_i},
    1 + i / ({learners} * 6), 'a.py', '00', {moment} FROM ({numbers}) AS n WHERE i < {rows};
INSERT INTO submissions SELECT 's_' || (2000000000 + i), 'l_heavy', 'softmax', i, 'a.py', '00', {moment}
    FROM ({numbers}) AS n WHERE i BETWEEN 1 AND {heavy};
INSERT INTO judgings (id, submission_id, exercise_version_id, ordinal, seed, status, tries, lost, created_at,
        verdict, score, max_score, speed_ratio, message, environment, usage, log, queue)
    SELECT 'j_' || again || substr(s.id, 3), s.id, v.id, 1 + again, '1', 'done', 1, 0, s.created_at,
        CASE WHEN CAST(substr(s.id, 8) AS INTEGER) * 7919 % 17 = 16 THEN 'accepted' ELSE 'wrong_answer' END,
        CAST(substr(s.id, 8) AS INTEGER) * 7919 % 17 / 4.0, 4,
        CASE WHEN CAST(substr(s.id, 8) AS INTEGER) * 7919 % 17 = 16
            THEN 1 + CAST(substr(s.id, 8) AS INTEGER) * 31 % 1009 / 100.0 END,
        '', '{{}}', '{{}}', '', 'cpu'
    FROM submissions s JOIN exercise_versions v ON v.exercise = s.exercise
        JOIN (SELECT 0 AS again UNION ALL SELECT 1) AS a ON again = 0 OR s.ordinal % 50 = 7;
UPDATE judgings SET status = 'queued', verdict = NULL, score = NULL, max_score = NULL
    WHERE id IN (SELECT id FROM judgings WHERE ordinal = 1 AND id < 'j_02' ORDER BY id DESC LIMIT {waiting});
INSERT INTO outbox SELECT j.id, s.learner_id, j.queue, 0, 1, j.created_at, NULL
    FROM judgings j JOIN submissions s ON s.id = j.submission_id WHERE j.status = 'queued';
"""
RATIOS = """
UPDATE bests SET speed_ratio = coalesce(
    (SELECT speed_ratio FROM judgings j WHERE j.submission_id = bests.submission_id AND j.ordinal = 1), speed_ratio)
"""


def main() -> int:
    """Fill both, then time and explain each call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="submissions to generate")
    parser.add_argument("--calls", type=int, default=200, help="how often each call is timed")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the server with it
    with cluster.start("-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB") as server:
        server.run("CREATE DATABASE bench")
        _bench(server.url("bench"), chosen.rows, chosen.calls)
    with tempfile.TemporaryDirectory() as folder:
        _bench(f"sqlite:///{folder}/bench.sqlite3", chosen.rows, chosen.calls)
    return 0


def _bench(url: str, rows: int, calls: int) -> None:
    with closing(open_store(url)) as store:
        engine, plans = store._engine, []
        began = time.monotonic()
        _fill(engine, rows)
        _print(f"\n{engine.dialect.name}: {rows} submissions, made in {time.monotonic() - began:.0f} s")
        _print(f"{'call':34} {'min ms':>8} {'p50 ms':>8} {'p95 ms':>8}")
        for name, call in _calls(store, rows).items():
            with _statements(engine) as seen:
                call()
            plans += [
                (name, *each) for each in seen if each[0].startswith("SELECT") and "clock_timestamp" not in each[0]
            ]
            spent = sorted(_milliseconds(call) for _ in range(calls))
            _print(f"{name:34} {spent[0]:8.2f} {statistics.median(spent):8.2f} {spent[int(0.95 * calls)]:8.2f}")
        explain = "EXPLAIN " if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        with engine.connect() as connection:
            for name, statement, parameters in plans:
                _print(f"\n{engine.dialect.name}: {name}")
                for line in connection.exec_driver_sql(explain + statement, parameters):
                    _print(f"    {line[-1]}")


def _fill(engine: Engine, rows: int) -> None:
    dialect = engine.dialect.name
    exercise = "CASE {} " + " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(EXERCISES)) + " END"
    learners = max(rows // PER_LEARNER, 1)
    statements = FILL.format(
        rows=rows,
        learners=learners,
        heavy=HEAVY,
        waiting=WAITING,
        begin=MOMENT[dialect].format(0),
        moment=MOMENT[dialect].format("i"),
        exercise=exercise.format("i"),
        exercise_of_i=exercise.format(f"(i / {learners} + i % {learners}) % 6"),
        numbers=NUMBERS.format(rows),
    )
    for statement in [*statements.split(";")[:-1], r0003_service._BESTS, RATIOS]:
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(text(statement))
            if dialect == "postgresql":  # or the next would be planned for empty tables
                connection.execute(text("ANALYZE"))
    if dialect == "postgresql":  # as its autovacuum does; nobody does it for SQLite
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _calls(store: Store, rows: int) -> dict[str, Callable[[], object]]:
    draw = random.Random(0)
    identity = Identity(store)
    token, _ = identity.issue_token("a_1", label="bench", scopes=frozenset({"read"}), seconds=None, by=None)
    waiting = [message.judging for message in store.due(WAITING, 0.0)]

    def learner() -> str:
        return f"school/{draw.randint(1, rows // PER_LEARNER)}"

    def exercise() -> str:
        return draw.choice(EXERCISES)

    def submission() -> str:
        return f"s_{1000000000 + draw.randrange(rows)}"

    return {
        "history": lambda: store.history(learner(), exercise(), 20),
        f"history, of {HEAVY}": lambda: store.history("school/heavy", "softmax", 20),
        "board": lambda: store.board(exercise(), 50, organisation="school"),
        "position": lambda: store.position(draw.choice(waiting)),
        "due": lambda: store.due(100, 60.0),
        "waiting": store.waiting,
        "progress": lambda: store.progress(draw.choice(waiting)),
        "submissions, a page": lambda: store.submissions(exercise(), 50, organisation="school", before=submission()),
        "regrade_candidates, a page": lambda: store.regrade_candidates(exercise(), "v2", 100, after=submission()),
        "regrade_candidates, leading": lambda: store.regrade_candidates(exercise(), "v2", 100, leading=True),
        "feed, 20 of a regrade": _feeding(store),
        "regrade": lambda: store.regrades("softmax"),
        "changes, a page": lambda: [store.changes(each.regrade, 100) for each in store.regrades("softmax")],
        "unfinished": store.unfinished,
        "by_token": lambda: identity.by_token(token),
        "line": store.line,
        "submission": lambda: store.submission(submission()),
        "verdicts": store.verdicts,
        "add_submission": lambda: _add(store, learner(), exercise()),
        "claim_next and finish": lambda: _judge(store),
        "sweep": store.sweep,
    }


def _feeding(store: Store) -> Callable[[], object]:
    """Begin a regrade, and let 20 more of it wait at each call."""
    begun = store.begin_regrade("softmax", "v2", title="Title", by="bench", queue="gpu")
    if begun is None:
        raise RuntimeError(store.waiting())
    waiting = itertools.count(20, 20)
    return lambda: store.feed(begun.regrade, next(waiting))


def _add(store: Store, learner: str, exercise: str) -> None:
    store.add_submission(
        learner=learner,
        exercise=exercise,
        version="v1",
        title="Title",
        filename="a.py",
        source=b"x",
        seed="1",
        queue="cpu",
        in_flight=9,
    )


def _judge(store: Store) -> None:
    claim = store.claim_next("cpu", me(), 60.0)
    if claim is None:
        raise RuntimeError(store.waiting())
    report = Report(
        exercise=claim.exercise,
        exercise_version=claim.version,
        verdict=Verdict.WRONG_ANSWER,
        score=1.0,
        max_score=4.0,
        tests=[],
        usage=Usage(),
        environment=Environment(grader="0", engine="local"),
        seed="1",
    )
    store.finish(claim, report)


@contextmanager
def _statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect what is sent to the database meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(*sent: Any) -> None:
        seen.append((sent[2], sent[3]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000.0 * (time.perf_counter() - began)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
