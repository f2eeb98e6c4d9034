"""What operators and programs ask of the server itself."""

from typing import Any

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from grader import __version__
from grader.errors import NotFound, OurFault
from grader.explain import CATALOGUE
from grader.server import access, shapes
from grader.server.service import On

routes = access.router("operations")


@routes.get("/health")
async def health() -> shapes.Health:
    """Tell that the server is alive."""
    return shapes.Health(status="alive", version=__version__)


@routes.get("/ready")
def ready(on: On) -> shapes.Ready:
    """Tell that the server can work: its database answers and, where canaries are judged, one was lately."""
    on.store.waiting()
    if not on.canary.fresh:
        raise OurFault("E6114", "no canary came back lately")
    return shapes.Ready(status="ready", canary_age_seconds=on.canary.age_seconds)


@routes.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "For Prometheus.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """Write the metrics as Prometheus reads them."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


@routes.get("/v1/openapi.json")
def openapi(request: Request) -> dict[str, Any]:
    """Describe this API."""
    found: dict[str, Any] = request.app.openapi()
    return found


@routes.get("/v1/problems/{code}")
async def explain(code: str) -> shapes.Explanation:
    """Explain an error code: where it comes from and what to do."""
    entry = CATALOGUE.get(code)
    if entry is None:
        raise NotFound("E5104", f"there is no error code or verdict {code!r}", hint="grader explain lists all")
    return shapes.Explanation(code=code, what=entry.what, cause=entry.cause, hint=entry.hint)
