"""Every error as `application/problem+json` (RFC 9457), with the codes that `grader explain` knows."""

import math
from collections.abc import Mapping

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from grader import __version__
from grader.errors import (
    ExerciseError,
    GraderError,
    LimitReached,
    LoginNeeded,
    NotAllowed,
    NotFound,
    OurFault,
    Pending,
    UsageError,
)
from grader.explain import CATALOGUE
from grader.formats import safe

MEDIA_TYPE = "application/problem+json"
VERSION_HEADER = "Grader-Version"
"""Of every answer: by it a client knows a grader from a proxy's page, and one of another version."""
_OF_KIND = {UsageError: 422, NotFound: 404, Pending: 404, LoginNeeded: 401, NotAllowed: 403, LimitReached: 429}
_OF_CODE = {
    "E2105": 413,
    "E2115": 409,
    "E2118": 409,
    "E2119": 409,
    "E2126": 409,
    "E2308": 409,
    "E3104": 503,
    "E3106": 503,
    "E3107": 503,
    "E5202": 405,
    "E6105": 403,
    "E6201": 403,
    "E6202": 403,
    "E6203": 403,
    "E6205": 403,
    "E6108": 415,
    "E6109": 415,
    "E6110": 400,
    "E6112": 400,
    "E6113": 408,
    "E6114": 503,
    "E6115": 503,
    "E6130": 503,
}
_SOON_SECONDS = 5.0
_MOST_DETAIL = 500


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str


def status_of(error: GraderError) -> int:
    """Return the HTTP status that an error is answered with."""
    return _OF_CODE.get(error.code) or _OF_KIND.get(type(error), 500)


def answer(error: GraderError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a request that ended in this error.

    A fault of ours keeps its cause to itself: it may name hosts and folders.
    """
    status = status_of(error)
    ours = isinstance(error, OurFault | ExerciseError)
    detail = error.what if ours or not error.cause else f"{error.what}: {error.cause}"
    problem = Problem(
        type=f"/v1/problems/{error.code}",
        title=CATALOGUE[error.code].what,
        status=status,
        code=error.code,
        detail=safe(detail[:_MOST_DETAIL]),
        hint=safe(CATALOGUE[error.code].hint if ours else error.hint or CATALOGUE[error.code].hint),
    )
    more = dict(headers or {})
    if status == 401:  # noqa: PLR2004  RFC 9110 wants to be told how to log in
        more["WWW-Authenticate"] = 'Bearer realm="grader"'
    if isinstance(error, LimitReached) and error.seconds < math.inf:
        more["Retry-After"] = str(math.ceil(error.seconds))
    elif status == 503:  # noqa: PLR2004
        more["Retry-After"] = str(math.ceil(_SOON_SECONDS))
    return Response(msgspec.json.encode(problem), status, more, MEDIA_TYPE)


def malformed(cause: str) -> UsageError:
    """Return the error for a request that cannot be understood."""
    return UsageError("E6110", "the request is not understood", cause=cause, hint="GET /v1/openapi.json describes it")


async def on_error(request: Request, error: Exception) -> Response:
    """Answer whatever ended a request; what nobody foresaw goes into the log with its traceback."""
    response = _told(request, error)
    response.headers[VERSION_HEADER] = __version__  # here too: what nobody foresaw ends outside the middleware
    if getattr(request.state, "more", False):  # nobody waits for the rest of its body
        response.headers["Connection"] = "close"
    return response


def _told(request: Request, error: Exception) -> Response:
    match error:
        case GraderError():
            return answer(error)
        case RequestValidationError():
            first = error.errors()[0]  # of which only the place and the rule are told, never what was sent
            if first["type"] == "json_invalid":
                return answer(malformed("its body is no JSON"))
            where = ".".join(str(part) for part in first["loc"])
            return answer(UsageError("E6111", f"{where} is not as it must be", cause=str(first["msg"])))
        case HTTPException(status_code=404):
            return answer(NotFound("E5201", "there is nothing at this address"))
        case HTTPException(status_code=405):
            # The framework names the methods of one route; others may have the same path.
            routes = [each for each in request.app.routes if each.path_regex.match(request.scope["path"])]
            allowed = {"Allow": ", ".join(sorted(method for each in routes for method in each.methods))}
            return answer(UsageError("E5202", "this address does not take that method"), allowed)
        case HTTPException():
            return answer(malformed(str(error.detail)))
        case ClientDisconnect():  # nobody reads it, but the log and the metrics do
            return answer(UsageError("E6112", "the upload was cut short"))
        case _:
            return answer(OurFault("E3001", "the grader failed"))
