"""What `regrade` does: judge again what was judged against another version of an exercise.

--dry-run    here, each learner's best and last submission; nothing is stored
embedded     here, one after the other; the rows say what is done, so the same command goes on after a kill
a service's  by its workers, behind everyone else; `GRADER_DATABASE_URL` says which, Ctrl-C leaves them at it
"""

import contextlib
import os
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from grader import config, notebook
from grader import exercise as exercises
from grader.cli import students, terminal
from grader.config import Config
from grader.errors import UsageError
from grader.exercise import Exercise
from grader.regrade import Change, Mark, Regrading
from grader.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.cli.remote import Remote
    from grader.pool import Pool
    from grader.records import Candidate
    from grader.store import Store

_PAGE = 1000
_LOOK_SECONDS = 1.0
_LINE_SECONDS = 10.0
"""How often a stream that is no terminal is told how far it is."""


@dataclass(frozen=True)
class Chosen:
    """The options of the command."""

    dry_run: bool
    never_lower: bool
    detach: bool
    engine: str
    json: bool


@dataclass(frozen=True)
class _Outcome:
    """How many were judged, how many of these failed by our fault, how many are left, and who changes."""

    judged: int = 0
    failed: int = 0
    left: int = 0
    changes: list[Change] = field(default_factory=list)
    regrade: str = ""


def regrade(name: str, server: str, chosen: Chosen) -> int:
    """Judge again, or show what that would change; 3 where a judging failed by our own fault."""
    with students.at_server(server) as remote, _Counter(name) as counter:
        try:
            if remote is not None:
                version = remote.load(name).version
                outcome = _at_server(remote, name, version, counter, chosen)
            else:
                exercise = exercises.load(name)
                version, outcome = exercise.version, _in_store(exercise, counter, chosen)
        except KeyboardInterrupt:
            counter.clear()
            terminal.say(f"interrupted: {'nothing was stored' if chosen.dry_run else 'what is judged is kept'}")
            terminal.hint(
                f"the same command {'begins anew' if chosen.dry_run else 'goes on; so do the workers of a server'}"
            )
            return students.INTERRUPTED
    _show(name, version, chosen, outcome)
    return 3 if outcome.failed else 0


def _at_server(remote: "Remote", name: str, version: str, counter: "_Counter", chosen: Chosen) -> _Outcome:
    """Have a server's workers judge, and wait for them unless told to detach."""
    if chosen.dry_run:
        raise UsageError(
            "E2101",
            "--dry-run judges on this machine, which does not have the hidden tests",
            hint="ask whoever runs the server; with --never-lower a regrade lowers nobody",
        )
    begun = remote.begin_regrade(name, never_lower=chosen.never_lower)
    found = [begun] if begun else [each for each in remote.regrades(name) if each.version == version]
    if not found:
        return _Outcome()
    seen = found[0]
    while seen.ended_at is None and seen.done < seen.total and not chosen.detach:
        counter.tell(seen.done, seen.total)
        time.sleep(_LOOK_SECONDS)
        (seen,) = [each for each in remote.regrades(name) if each.regrade == seen.regrade]
    return _Outcome(seen.done, seen.failed, seen.total - seen.done, remote.changes(seen), seen.regrade)


def _in_store(exercise: Exercise, counter: "_Counter", chosen: Chosen) -> _Outcome:
    """Judge here or, where `GRADER_DATABASE_URL` names a service's, have its workers judge."""
    service = bool(os.environ.get("GRADER_DATABASE_URL") or os.environ.get("GRADER_DATABASE_URL_FILE"))
    if chosen.detach and (chosen.dry_run or not service):
        raise UsageError("E2101", "--detach is for a server's workers", hint=f"grader regrade {exercise.name}")
    settings = config.read(chosen.engine)
    settings = replace(settings, isolated=settings.isolated or service)  # other people's files
    students.need_store()
    if chosen.dry_run or not service:
        students.need_judge(exercise)
        _try_engine(exercise, settings)
    with closing(_open(settings, service=service)) as store:
        if chosen.dry_run:
            secret = _secret(settings, service=service)
            return _dry_run(store, exercise, settings, secret, counter, never_lower=chosen.never_lower)
        return _apply(store, exercise, settings, counter, chosen, service=service)


def _open(settings: Config, *, service: bool) -> "Store":
    from grader.store import open_store  # noqa: PLC0415 - SQLAlchemy is slow

    if not service:
        return open_store(settings.database)
    from grader.queue import address  # noqa: PLC0415 - the server's extra

    return open_store(address("GRADER_DATABASE_URL"))


def _secret(settings: Config, *, service: bool) -> bytes:
    """Return the key of the random inputs: the workers', where it is known here."""
    if not (service and os.environ.get("GRADER_SECRET_FILE")):
        return settings.secret()
    from grader.queue import read_file  # noqa: PLC0415 - the server's extra

    return read_file("GRADER_SECRET_FILE")


def _try_engine(exercise: Exercise, settings: Config) -> None:
    """Raise OurFault or UsageError where this machine cannot judge, before anything is begun."""
    from grader import judge  # noqa: PLC0415 - only a judge's installation has what it needs

    process = judge.start(exercise, engine=settings.engine, isolated=settings.isolated)
    try:
        process.started(terminal.say)
    finally:
        process.close()


def _dry_run(
    store: "Store", exercise: Exercise, settings: Config, secret: bytes, counter: "_Counter", *, never_lower: bool
) -> _Outcome:
    """Judge each learner's best and last submission, and compare."""
    from grader.pool import Pool  # noqa: PLC0415 - only a judge's installation has what it needs

    found = list(_candidates(store, exercise))
    changes, failed = [], 0
    pool = Pool(settings.engine, isolated=settings.isolated, isolation=settings.isolation, standbys=settings.standbys)
    with contextlib.closing(pool):
        for done, each in enumerate(found):
            counter.tell(done, len(found))
            before = Mark(
                judging=each.judging,
                version=each.version,
                verdict=each.verdict,
                score=each.score,
                max_score=each.max_score,
            )
            after = _judge(store, pool, exercise, each, secret)
            failed += after.verdict is Verdict.INTERNAL_ERROR
            if after.verdict is Verdict.INTERNAL_ERROR or _same(before, after):
                continue
            scored = before.verdict is not Verdict.INTERNAL_ERROR
            changes.append(
                Change(
                    learner=each.learner,
                    submission=each.submission,
                    attempt=each.attempt,
                    before=before,
                    after=after,
                    counts=not (never_lower and scored and after.share < before.share),
                )
            )
    left = store.count_candidates(exercise.name, exercise.version) - len(found)
    return _Outcome(judged=len(found), failed=failed, left=left, changes=changes)


def _candidates(store: "Store", exercise: Exercise) -> "Iterator[Candidate]":
    after = ""
    while page := store.regrade_candidates(exercise.name, exercise.version, _PAGE, after=after, leading=True):
        yield from page
        after = page[-1].submission


def _judge(store: "Store", pool: "Pool", exercise: Exercise, each: "Candidate", secret: bytes) -> Mark:
    """Judge a submission with the seed it had, and store nothing."""
    source = store.source(each.submission)
    judged = exercise.without_policy() if store.overruled(each.submission) else exercise
    process = pool.start(judged)
    try:
        report = process.run(source, seed=each.seed, secret=secret, places=notebook.places(each.filename, source))
    finally:
        process.close()
    return Mark(
        judging="",
        version=report.exercise_version,
        verdict=report.verdict,
        score=report.score,
        max_score=report.max_score,
    )


def _same(before: Mark, after: Mark) -> bool:
    return (before.verdict, before.score, before.max_score) == (after.verdict, after.score, after.max_score)


def _apply(
    store: "Store", exercise: Exercise, settings: Config, counter: "_Counter", chosen: Chosen, *, service: bool
) -> _Outcome:
    """Begin a regrade, or go on with the one under way; without anything left, tell of the last one."""
    if not service:
        from grader import embedded  # noqa: PLC0415 - only a judge's installation has what it needs

        embedded.recover(store, settings, terminal.say)
    with store.together():
        begun = store.begin_regrade(
            exercise.name,
            exercise.version,
            title=exercise.title,
            by=settings.learner,
            never_lower=chosen.never_lower,
            queue=_queue(exercise) if service else "",
        )
        if begun is not None and service:
            from grader.store.identity import Identity  # noqa: PLC0415 - the server's extra

            act = {"regrade": begun.regrade, "version": begun.version}
            Identity(store).record("exercise.regrade", exercise.name, by=None, **act)
    if begun is None:
        earlier = [each for each in store.regrades(exercise.name) if each.version == exercise.version]
        return _outcome(store, earlier[0]) if earlier else _Outcome()
    if service:
        _by_workers(store, begun, _queue(exercise), counter, detach=chosen.detach)
    else:
        while queued := store.feed(begun.regrade, 1):
            embedded.judge_queued(store, queued[0], exercise, settings)
            counter.tell(store.regrade(begun.regrade).done, begun.total)
    return _outcome(store, store.regrade(begun.regrade))


def _queue(exercise: Exercise) -> str:
    from grader.server.catalogue import queue_of  # noqa: PLC0415 - only a service has queues

    return queue_of(exercise)


def _by_workers(store: "Store", begun: Regrading, queue: str, counter: "_Counter", *, detach: bool) -> None:
    """Queue what workers are to judge and, unless to `detach`, wait until they have.

    They are told at once where the environment names the broker, else by the next sweep.
    """
    from grader.queue import Queue, address  # noqa: PLC0415 - the server's extra
    from grader.store import REGRADES_WAITING  # noqa: PLC0415 - SQLAlchemy is slow

    broker = {"GRADER_BROKER_URL", "GRADER_BROKER_URL_FILE"} & os.environ.keys()
    bell = Queue(address("GRADER_BROKER_URL")) if broker else None
    while True:
        queued = store.feed(begun.regrade, REGRADES_WAITING)
        if bell is not None:
            bell.send(queue, len(queued))
        seen = store.regrade(begun.regrade)
        if detach or seen.ended_at is not None:
            return
        counter.tell(seen.done, seen.total)
        time.sleep(_LOOK_SECONDS)


def _outcome(store: "Store", seen: Regrading) -> _Outcome:
    changes: list[Change] = []
    while page := store.changes(seen.regrade, _PAGE, after=changes[-1].submission if changes else ""):
        changes += page
    left = store.count_candidates(seen.exercise, seen.version) + seen.waiting
    return _Outcome(seen.done, seen.failed, left, changes, seen.regrade)


def _show(name: str, version: str, chosen: Chosen, outcome: _Outcome) -> None:
    """Write what came out: JSON, or a table and a sentence."""
    if chosen.json:
        terminal.answer_json(
            {
                "schema": "grader/regrade/1",
                "exercise": name,
                "version": version,
                "dry_run": chosen.dry_run,
                "never_lower": chosen.never_lower,
                "regrade": outcome.regrade or None,
                "judged": outcome.judged,
                "failed": outcome.failed,
                "left": outcome.left,
                "changes": outcome.changes,
            }
        )
        return
    if outcome.changes:
        from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and JSON does without

        terminal.show(pages.changes_page(outcome.changes))
    if not (outcome.judged or outcome.left):
        terminal.answer(f"{name}: every submission is judged against the exercise as it is")
        return
    raised = sum(each.after.share > each.before.share for each in outcome.changes)
    lowered = sum(each.after.share < each.before.share for each in outcome.changes)
    kept = sum(not each.counts for each in outcome.changes)
    said = [f"{outcome.judged} judged", f"{raised} higher", f"{lowered} lower"]
    said += [f"{kept} of these not counted"] if kept else []
    said += [f"{outcome.failed} failed by our own fault"] if outcome.failed else []
    terminal.answer(f"{name}: {', '.join(said)}")
    if chosen.dry_run:
        others = f", and {outcome.left} more that are nobody's best or last" if outcome.left else ""
        terminal.hint(f"grader regrade {name} judges these{others}, and keeps the verdicts")
    elif outcome.left:
        terminal.hint(f"{outcome.left} are not judged yet; the same command tells how far it is")


class _Counter:
    """How far long work is: on a terminal one line, written over; elsewhere a line now and then.

    Without a thread, which Rich would start: a judge is forked meanwhile, again and again.
    """

    def __init__(self, name: str) -> None:
        """Tell nothing yet."""
        self._name = name
        self._next = 0.0

    def __enter__(self) -> Self:
        """Tell nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        self.clear()

    def tell(self, done: int, total: int) -> None:
        """Tell how many of how many are judged."""
        text = f"{self._name}: {done} of {total} judged"
        if terminal.live() and not terminal.flags.quiet:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        elif time.monotonic() >= self._next:
            terminal.say(text)
            self._next = time.monotonic() + _LINE_SECONDS

    def clear(self) -> None:
        """Leave nothing behind on a terminal."""
        if terminal.live() and not terminal.flags.quiet:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
