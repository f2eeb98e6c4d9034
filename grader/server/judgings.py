"""How far a judging is: asked once, or streamed as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import Header, Response
from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse

from grader.formats import Format
from grader.server import access, shapes
from grader.server.service import Judging, On, Owner, Service, Who
from grader.server.submissions import REPORT, Form, report
from grader.server.watch import Seen

routes = access.router("judgings")

_ORDER = ("received", "queued", "claimed", "ready", "judged", "stored")
_DONE = "done"
_KEEPALIVE_SECONDS = 15.0
_LONGEST_SECONDS = 600.0
"""A stream ends then; whoever still waits resumes it, with a token that must still be good."""
_RETRY_MILLISECONDS = 1000


@routes.get("/v1/judgings/{judging}")
async def show_judging(judging: str, on: On, progress: Judging) -> shapes.Judging:
    """Show how far a judging is."""
    before = await on.watch.before(judging) if progress.status == "queued" else None
    return _shape((progress, before))


@routes.get("/v1/judgings/{judging}/report", response_class=Response, responses=REPORT)
def show_report(judging: str, on: On, who: Who, owner: Owner, form: Form = Format.JSON) -> Response:
    """Return the report of a judging."""
    return report(on, who, judging, owner, form)


@routes.get(
    "/v1/judgings/{judging}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `phase`, `position` and, at the end, `done`.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "All was told before the event that Last-Event-ID names."},
    },
)
async def stream_events(judging: str, on: On, last_event_id: Annotated[str, Header(max_length=100)] = "") -> Response:
    """Stream a judging's phases as they come; resume after `Last-Event-ID`."""
    if last_event_id == _DONE:
        return Response(status_code=204)
    return StreamingResponse(
        _events(on, judging, last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(on: Service, judging: str, last: str) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LONGEST_SECONDS
    told = loop.time()
    before: int | None = None
    yield format_sse_event(comment=judging, retry=_RETRY_MILLISECONDS)
    async for seen in on.watch.follow(judging):
        events = [] if seen is None else _news(seen, last)
        if seen is not None and seen[1] is not None and seen[1] != before:
            before = seen[1]
            events.append(("position", "", {"before": before}))
        for name, key, data in events:
            yield format_sse_event(data_str=json.dumps(data), event=name, id=key or None)
            last = key or last
            if name == _DONE:
                return
        if events:
            told = loop.time()
        elif loop.time() > deadline:
            return
        elif loop.time() - told > _KEEPALIVE_SECONDS:
            yield format_sse_event(comment="still here")
            told = loop.time()


def _news(seen: Seen, last: str) -> list[tuple[str, str, dict[str, object]]]:
    """Return what is to be told after the event `last`: name, id and data of each.

    An id is the moment of queueing and the phase: a judging whose worker was lost is queued anew, at another moment,
    and begins again there.
    """
    progress, _ = seen
    moments = {name: progress.phases[name] for name in _ORDER if name in progress.phases}
    tried = moments["queued"].isoformat() if "queued" in moments else ""
    try_told, _, phase_told = last.partition("/")
    told = -1
    if phase_told in _ORDER:
        told = _ORDER.index(phase_told) if try_told == tried else _ORDER.index("received")
    events: list[tuple[str, str, dict[str, object]]] = [
        ("phase", f"{tried}/{name}", {"phase": name, "at": moment.isoformat()})
        for name, moment in moments.items()
        if _ORDER.index(name) > told
    ]
    if progress.status == _DONE:
        events.append((_DONE, _DONE, _shape(seen).model_dump(mode="json")))
    return events


def _shape(seen: Seen) -> shapes.Judging:
    progress, before = seen
    return shapes.Judging.model_validate(msgspec.structs.asdict(progress) | {"before": before})
