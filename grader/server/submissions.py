"""The way in: a file is stored, its judging queued, and only then is the answer 202."""

import datetime as dt
import hashlib
from typing import Annotated, Any

import msgspec
from fastapi import BackgroundTasks, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from grader import judge, notebook
from grader.errors import NotAllowed, OurFault
from grader.formats import Format, write
from grader.records import Queued
from grader.server import access, bodies, shapes
from grader.server.access import Caller
from grader.server.bodies import Upload
from grader.server.catalogue import queue_of
from grader.server.service import On, Owner, Service, Who

routes = access.router("submissions")

MEDIA_TYPES = {Format.CONCISE: "text/plain; charset=utf-8", Format.JUNIT: "application/xml"}
_DEVICE = {
    "type": "string",
    "enum": ["", "cpu", "cuda"],
    "description": "One of the exercise's devices; the first if left out.",
}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["exercise", "file"],
                    "properties": {
                        "exercise": {"type": "string"},
                        "device": _DEVICE,
                        "file": {"type": "string", "format": "binary", "description": "A .py or .ipynb file."},
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["exercise", "filename"],
                    "properties": {
                        "exercise": {"type": "string"},
                        "filename": {"type": "string", "minLength": 1, "maxLength": 100},
                        "device": _DEVICE,
                        "source": {"type": "string", "description": "The file as text, or"},
                        "source_base64": {"type": "string", "format": "byte", "description": "its bytes."},
                    },
                    "additionalProperties": False,
                },
                "example": {
                    "exercise": "softmax",
                    "filename": "softmax.py",
                    "source": "def softmax(x, axis=-1):\n    ...\n",
                },
            },
        },
    }
}
REPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report, in the format asked for.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/plain": {"schema": {"type": "string"}},
            "application/xml": {"schema": {"type": "string"}},
        },
    }
}

Form = Annotated[Format, Query(alias="format")]


@routes.post("/v1/submissions", status_code=202, openapi_extra=_UPLOAD)
async def submit(
    request: Request,
    response: Response,
    on: On,
    who: Who,
    later: BackgroundTasks,
    idempotency_key: Annotated[str, Header(max_length=100, pattern=r"^[!-~]*$")] = "",
) -> shapes.Accepted:
    """Send one file for an exercise: stored when this answers, and not again when sent again under its key."""
    received_at = dt.datetime.now(dt.UTC)
    sent = await bodies.upload(request)
    queued, queue = await run_in_threadpool(_store, on, who.learner, sent, idempotency_key, received_at)
    if not queued.replayed:
        later.add_task(on.bell.send, queue)
    links = shapes.links(queued.submission, queued.judging)
    response.headers["Location"] = links.submission
    return shapes.Accepted(**msgspec.structs.asdict(queued), links=links)


def _store(on: Service, learner: str, sent: Upload, key: str, received_at: dt.datetime) -> tuple[Queued, str]:
    digest = _digest(sent)
    if key and (earlier := on.store.replay(learner, key, digest)) is not None:
        return earlier, ""
    exercise = on.catalogue.load(sent.exercise).on(sent.device)
    if on.settings.is_closed(exercise.name):
        raise NotAllowed("E6105", f"{exercise.name} takes no submissions now", hint="ask who teaches the course")
    if exercise.compiles:
        raise NotAllowed(
            "E6131",
            f"{exercise.name} is not judged by a server yet",
            cause="submissions bring kernels, and no sandbox that isolates can compile them",
            hint="grader submit --server none, on a machine with a GPU",
        )
    on.submitting.take(learner, "submissions")
    source = sent.source
    if sent.filename.lower().endswith(notebook.SUFFIX):
        source = notebook.to_source(source, sent.filename)
    queue = queue_of(exercise)
    note = _note(on, queue)
    queued = on.store.add_submission(
        learner=learner,
        exercise=exercise.name,
        version=exercise.version,
        title=exercise.title,
        filename=sent.filename,
        source=source,
        seed=judge.new_seed(),
        device=exercise.device,
        queue=queue,
        key=key,
        body_sha256=digest,
        received_at=received_at,
        in_flight=on.settings.in_flight,
    )
    return msgspec.structs.replace(queued, note=note), queue


def _note(on: Service, queue: str) -> str:
    """Say that a submission waits for a GPU that nobody offers now. Raises OurFault E6130 where it must not wait."""
    if queue != "gpu" or on.gpus.offered():
        return ""
    if on.settings.without_gpu == "refuse" or on.settings.embedded:
        raise OurFault(
            "E6130",
            "no worker offers a GPU now",
            cause="this server does not let submissions wait for one; nothing was stored",
            hint="try again later, or submit for another device where the exercise has one",
        )
    return "no worker offers a GPU now: it waits until one does, and uses no attempt before that"


def _digest(sent: Upload) -> str:
    """Hash what was sent; not the body, whose boundary differs each time."""
    digest = hashlib.sha256()
    device = [sent.device.encode()] if sent.device else []
    for part in (sent.exercise.encode(), sent.filename.encode(), sent.source, *device):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


@routes.get("/v1/submissions/{submission}")
def show_submission(submission: str, on: On) -> shapes.Submission:
    """Show a submission with all its judgings and when they reached each phase."""
    filed = on.store.submission(submission)
    attempt = msgspec.structs.asdict(filed.attempt)
    judgings = [shapes.JudgingOf.model_validate(each) for each in filed.judgings]
    return shapes.Submission(**attempt, exercise=filed.exercise, judgings=judgings)


@routes.post("/v1/submissions/{submission}/cancellation")
def cancel(submission: str, on: On, who: Who) -> shapes.Submission:
    """Withdraw a submission before its judging begins: it uses no attempt. What is cancelled stays so."""
    with on.store.together():
        if on.store.cancel(submission):
            on.identity.record("submission.cancel", submission, by=who.account)
    return show_submission(submission, on)


@routes.get("/v1/submissions/{submission}/report", response_class=Response, responses=REPORT)
def show_report(submission: str, on: On, who: Who, owner: Owner, form: Form = Format.JSON) -> Response:
    """Return the report of the judging that speaks for a submission."""
    return report(on, who, submission, owner, form)


@routes.get("/v1/report", response_class=Response, responses=REPORT)
def show_latest_report(on: On, who: Who, form: Form = Format.JSON) -> Response:
    """Return the report of your latest submission."""
    return report(on, who, None, who.learner, form)


def report(on: Service, who: Caller, which: str | None, learner: str, form: Format) -> Response:
    """Write a report as it was asked for, one's own as far as it is disclosed.

    Raises NotFound E5103 where there is none yet.
    """
    found = on.store.report(which, learner)
    text = write(on.courses.disclose(found, learner) if learner == who.learner else found, form)
    return Response(text, media_type=MEDIA_TYPES.get(form, "application/json"))


@routes.get(
    "/v1/submissions/{submission}/source",
    response_class=Response,
    responses={200: {"description": "The source as it is judged.", "content": {"text/x-python": {}}}},
)
def show_source(submission: str, on: On) -> Response:
    """Return what was sent, byte for byte; of a notebook the Python made from it."""
    return Response(
        on.store.source(submission),
        media_type="text/x-python; charset=utf-8",
        headers={"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"},
    )
