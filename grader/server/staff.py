"""What staff do: see what was sent, have it judged again, waive a policy, regrade an exercise."""

from typing import Annotated

import msgspec
from fastapi import Query

from grader.records import Queued
from grader.server import access, shapes
from grader.server.catalogue import queue_of
from grader.server.exercises import Limit
from grader.server.service import On, Service, Who
from grader.store import REGRADES_WAITING

routes = access.router("staff")


@routes.get("/v1/exercises/{exercise}/submissions")
def list_submissions(
    exercise: str, on: On, who: Who, limit: Limit = 50, before: Annotated[str | None, Query(max_length=100)] = None
) -> shapes.SentPage:
    """List your organisation's submissions for an exercise, the newest first."""
    on.catalogue.load(exercise)
    found = on.store.submissions(exercise, limit, organisation=who.organisation, before=before)
    return shapes.SentPage(
        exercise=exercise,
        submissions=[shapes.Sent.model_validate(each) for each in found],
        next=found[-1].attempt.submission if len(found) == limit else None,
    )


@routes.post("/v1/submissions/{submission}/judgings", status_code=202)
def rejudge(submission: str, on: On, who: Who) -> shapes.Accepted:
    """Judge a submission again, with its seed: the same version gives the same verdict."""
    queue = _queue(on, submission)
    with on.store.together():
        queued = on.store.rejudge(submission, queue=queue)
        on.identity.record("submission.rejudge", submission, by=who.account, judging=queued.judging)
    on.bell.send(queue)
    return _accepted(queued)


@routes.post("/v1/submissions/{submission}/overruling", status_code=202)
def overrule(submission: str, why: shapes.Overruling, on: On, who: Who) -> shapes.Accepted:
    """Judge a submission again without the policy that it violated; who did so and why is kept."""
    queue = _queue(on, submission)
    with on.store.together():
        queued = on.store.overrule(submission, staff=who.learner, reason=why.reason.strip(), queue=queue)
        on.identity.record("submission.overrule", submission, by=who.account, judging=queued.judging)
    on.bell.send(queue)
    return _accepted(queued)


@routes.get("/v1/exercises/{exercise}/regrades/candidates")
def list_candidates(
    exercise: str, on: On, who: Who, limit: Limit = 50, after: Annotated[str, Query(max_length=100)] = ""
) -> shapes.CandidatePage:
    """List your organisation's submissions that were judged against another version of the exercise."""
    version = on.catalogue.load(exercise).version
    found = on.store.regrade_candidates(exercise, version, limit, after=after, organisation=who.organisation)
    return shapes.CandidatePage(
        exercise=exercise,
        version=version,
        candidates=[shapes.Candidate.model_validate(each) for each in found],
        next=found[-1].submission if len(found) == limit else None,
    )


@routes.post("/v1/exercises/{exercise}/regrades", status_code=202)
def regrade(exercise: str, wanted: shapes.NewRegrade, on: On, who: Who) -> shapes.Regraded:
    """Judge all of these again, in the background, after everyone who waits for a first verdict."""
    found = on.catalogue.load(exercise)
    with on.store.together():
        begun = on.store.begin_regrade(
            found.name,
            found.version,
            title=found.title,
            by=who.learner,
            never_lower=wanted.never_lower,
            queue=queue_of(found),
            organisation=who.organisation,
        )
        if begun is None:
            return shapes.Regraded(regrade=None)
        on.identity.record("exercise.regrade", exercise, by=who.account, regrade=begun.regrade, version=found.version)
    on.bell.send(queue_of(found), len(on.store.feed(begun.regrade, REGRADES_WAITING)))
    return shapes.Regraded(regrade=shapes.Regrade.model_validate(on.store.regrade(begun.regrade)))


@routes.get("/v1/exercises/{exercise}/regrades")
def list_regrades(exercise: str, on: On, who: Who) -> shapes.RegradeList:
    """List your organisation's regrades of an exercise and how far they are, the newest first."""
    on.catalogue.load(exercise)
    found = on.store.regrades(exercise, organisation=who.organisation)
    return shapes.RegradeList(exercise=exercise, regrades=[shapes.Regrade.model_validate(each) for each in found])


@routes.get("/v1/exercises/{exercise}/regrades/{regrade}/changes")
def list_changes(
    exercise: str, regrade: str, on: On, limit: Limit = 50, after: Annotated[str, Query(max_length=100)] = ""
) -> shapes.ChangePage:
    """List what a regrade has judged otherwise than before, the oldest submission first."""
    found = on.store.changes(regrade, limit, after=after)
    return shapes.ChangePage(
        exercise=exercise,
        regrade=regrade,
        changes=[shapes.Change.model_validate(each) for each in found],
        next=found[-1].submission if len(found) == limit else None,
    )


def _queue(on: Service, submission: str) -> str:
    filed = on.store.submission(submission)
    return queue_of(on.catalogue.load(filed.exercise).as_sent(filed.device))


def _accepted(queued: Queued) -> shapes.Accepted:
    return shapes.Accepted(**msgspec.structs.asdict(queued), links=shapes.links(queued.submission, queued.judging))
