"""The way of one submission on this machine, without a server, as a straight line.

    recover     judgings that a Ctrl-C, a kill or a lost power left unfinished are judged first
    submit      store.add_submission -> store.claim -> judge -> store.finish -> the report as stored

The judge's child is forked before SQLAlchemy is imported and before any thread starts: a fork copies both badly.
While the parent opens the store, the child imports its libraries and opens the sandbox.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grader import exercise as exercises
from grader import judge, notebook
from grader.config import Config
from grader.errors import ExerciseError, NotFound, OurFault, UsageError
from grader.exercise import Exercise
from grader.owner import me
from grader.report import Report

if TYPE_CHECKING:
    from grader.records import Claim, Queued
    from grader.store import Store

_LEASE_MARGIN_SECONDS = 60.0
_RECOVERY_LEASE_SECONDS = 900.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sent:
    """What a learner sends: the Python source (made from a notebook, if it was one) and its file's name."""

    filename: str
    source: bytes


class Interrupted(KeyboardInterrupt):
    """Ctrl-C after the submission was stored: nothing is lost, its judging waits in the queue."""

    def __init__(self, submission: str) -> None:
        """Name the submission that waits."""
        super().__init__(submission)
        self.submission = submission


def submit(exercise: Exercise, sent: Sent, config: Config, *, say: Tell, on_phase: Tell) -> Report:
    """Store a submission, judge it, and return its report as stored.

    `say` is told what happens to older judgings, `on_phase` how far this one is. Raises Interrupted.
    """
    process = judge.start(exercise, engine=config.engine, isolated=config.isolated)
    try:
        store = _open(config)
        process.started(say)  # where this machine cannot judge, nothing is stored
        recover(store, config, say)
        queued = store.add_submission(
            learner=config.learner,
            exercise=exercise.name,
            version=exercise.version,
            title=exercise.title,
            filename=sent.filename,
            source=sent.source,
            seed=judge.new_seed(),
            device=exercise.device,
        )
        on_phase(f"submission {queued.submission} stored, attempt {queued.attempt}")
        _judge(store, queued, exercise, process, config, on_phase)
        from grader.store.courses import Courses  # noqa: PLC0415 - SQLAlchemy, which must come after the fork

        return Courses(store).disclose(store.report(queued.judging, config.learner), config.learner)
    finally:
        process.close()


def rejudge(which: str, config: Config, *, say: Tell, on_phase: Tell, reason: str = "") -> Report:
    """Judge a stored submission again with its seed, as one more judging; raises Interrupted.

    With a `reason`, the policy that it violated is overruled, whosever submission it is.
    """
    store = _open(config)
    recover(store, config, say)
    learner = store.learner(which) if reason else config.learner
    last = store.report(which, learner)
    exercise = exercises.load(last.exercise).as_sent(store.submission(last.submission).device)
    if reason or store.overruled(last.submission):
        exercise = exercise.without_policy()
    process = judge.start(exercise, engine=config.engine, isolated=config.isolated)
    try:
        process.started(say)
        if reason:
            queued = store.overrule(last.submission, staff=config.learner, reason=reason)
        else:
            queued = store.rejudge(last.submission, seed=last.seed)
        on_phase(f"submission {queued.submission} judged again as {queued.judging}")
        _judge(store, queued, exercise, process, config, on_phase)
        return store.report(queued.judging, learner)
    finally:
        process.close()


def recover(store: "Store", config: Config, say: Tell) -> None:
    """Finish what earlier processes left unfinished; after three lost tries the fault is ours.

    A judging whose exercise is not here any more, or is malformed, waits until it is.
    """
    from grader.store import LOST_TRIES  # noqa: PLC0415 - SQLAlchemy, which must come after the fork

    for judging in store.unfinished():
        claim = _claim(store, judging, _RECOVERY_LEASE_SECONDS)
        if claim is None:
            continue  # another process was quicker
        name = f"judging {claim.judging} of submission {claim.submission} ({claim.exercise})"
        if claim.lost >= LOST_TRIES:
            say(f"{name} was interrupted {claim.lost} times and is given up; no attempt was used")
            store.give_up(claim, f"its process was lost {claim.lost} times")
            continue
        try:
            exercise = exercises.load(claim.exercise).as_sent(claim.device)
            exercise = exercise.without_policy() if claim.overruled else exercise
        except (NotFound, ExerciseError) as error:
            say(f"{name} waits: {error.what}")
            store.release(claim)
            continue
        say(f"{name} was interrupted: judging it now")
        _judge_claimed(store, claim, exercise, config)


def judge_queued(store: "Store", judging: str, exercise: Exercise, config: Config) -> None:
    """Judge what this process has queued, unless another has done so already."""
    claim = _claim(store, judging, _RECOVERY_LEASE_SECONDS)
    if claim is not None:
        exercise = exercise.as_sent(claim.device)
        _judge_claimed(store, claim, exercise.without_policy() if claim.overruled else exercise, config)


def _judge_claimed(store: "Store", claim: "Claim", exercise: Exercise, config: Config) -> None:
    process = judge.start(exercise, engine=config.engine, isolated=config.isolated)
    try:
        _finish(store, claim, process, config, None)
    finally:
        process.close()


def _judge(
    store: "Store",
    queued: "Queued",
    exercise: Exercise,
    process: judge.JudgeProcess,
    config: Config,
    on_phase: Tell,
) -> None:
    """Claim and finish one judging, unless another process has done so already."""
    try:
        lease = _LEASE_MARGIN_SECONDS + 3 * exercise.limits.judging_seconds
        claim = _claim(store, queued.judging, lease)
        if claim is not None:
            _finish(store, claim, process, config, on_phase)
    except KeyboardInterrupt:
        raise Interrupted(queued.submission) from None


def _finish(store: "Store", claim: "Claim", process: judge.JudgeProcess, config: Config, on_phase: Tell | None) -> None:
    """Judge what was claimed and store the report; on Ctrl-C put the judging back into the queue."""
    try:
        report = process.run(
            claim.source,
            seed=claim.seed,
            secret=config.secret(),
            places=notebook.places(claim.filename, claim.source),
            on_phase=on_phase,
        )
        stored = store.finish(claim, report)
    except (KeyboardInterrupt, OurFault, UsageError):  # the engine may be gone: the judging waits
        store.release(claim)
        raise
    if not stored:
        raise OurFault(
            "E3002",
            f"the report of judging {claim.judging} was not stored",
            cause="this process was so slow that another one has taken the judging over",
            hint=f"grader results {claim.submission}",
        )


def _open(config: Config) -> "Store":
    from grader.store import open_store  # noqa: PLC0415 - SQLAlchemy, which must come after the fork

    return open_store(config.database)


def _claim(store: "Store", judging: str, lease_seconds: float) -> "Claim | None":
    return store.claim(judging, me(), lease_seconds)
