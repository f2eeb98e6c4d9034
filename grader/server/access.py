"""Who may call which route, and on whose objects: one table, deny by default.

A route without a rule fails when it is defined. In this order a request is refused: 401 without a token that is
accepted, 403 where the scopes or the role do not suffice, 404 where the object is not there or somebody else's,
which look the same; then what its body does wrong.

A token may do what both its scopes and its account's role allow. Nothing crosses organisations, for no role.
"""

import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from grader.errors import GraderError, LoginNeeded, NotAllowed, NotFound, UsageError
from grader.records import Progress
from grader.server import bodies
from grader.store.identity import Access, Identity, Role

if TYPE_CHECKING:
    from grader.server.service import Service

Scope = Literal["submit", "read", "staff", "operate"]

SCOPES: dict[Role, frozenset[Scope]] = {
    "learner": frozenset({"submit", "read"}),
    "instructor": frozenset({"submit", "read", "staff"}),
    "hiring": frozenset({"submit", "read", "staff"}),
    "operator": frozenset({"submit", "read", "staff", "operate"}),
}
"""What a role may do at most."""

TEACHING: frozenset[Role] = frozenset({"instructor", "operator"})
STAFF: frozenset[Role] = TEACHING | {"hiring"}
ALL: frozenset[Role] = STAFF | {"learner"}


@dataclass(frozen=True)
class Rule:
    """What a route asks for.

    `scope` is None for a route without login. `of` names the path parameter whose object must be the caller's own or,
    for staff, of their organisation, as regrades always are; a course must be one that they teach or are in. `body` is
    how many bytes a request may carry, `types` of which media types. `query` says whether parameters are refused that
    the route does not know.
    """

    scope: Scope | None
    roles: frozenset[Role] = ALL
    of: Literal["submission", "judging", "regrade", "course"] | None = None
    body: int = 1 << 16
    types: frozenset[str] = frozenset({"application/json"})
    query: Literal["known", "any"] = "known"


OPEN = Rule(None)
READ = Rule("read")
ACT = Rule("submit")

COURSE = Rule("read", of="course")
TEACH = Rule("staff", TEACHING, of="course")
TEACH_WITH_FILE = Rule("staff", TEACHING, of="course", body=12 * 2**20)
"""A file in base64, and what stands around it."""

RULES = {
    "GET /health": OPEN,
    "GET /ready": OPEN,
    "GET /metrics": Rule("operate", frozenset({"operator"})),
    "GET /v1/openapi.json": OPEN,
    "GET /v1/problems/{code}": OPEN,
    "POST /v1/login": OPEN,
    "GET /v1/oidc/login": OPEN,
    "GET /v1/oidc/callback": Rule(None, query="any"),
    "POST /v1/devices": OPEN,
    "POST /v1/devices/poll": OPEN,
    "GET /v1/devices/{user_code}": ACT,
    "POST /v1/devices/{user_code}": ACT,
    "GET /v1/account": READ,
    "PUT /v1/account/public-name": ACT,
    "GET /v1/tokens": READ,
    "POST /v1/tokens": ACT,
    "DELETE /v1/tokens/{token}": ACT,
    "GET /v1/exercises": READ,
    "GET /v1/exercises/{exercise}": READ,
    "GET /v1/exercises/{exercise}/history": READ,
    "GET /v1/exercises/{exercise}/leaderboard": READ,
    "GET /v1/exercises/{exercise}/submissions": Rule("staff", STAFF),
    "GET /v1/exercises/{exercise}/regrades": Rule("staff", TEACHING),
    "POST /v1/exercises/{exercise}/regrades": Rule("staff", TEACHING),
    "GET /v1/exercises/{exercise}/regrades/candidates": Rule("staff", TEACHING),
    "GET /v1/exercises/{exercise}/regrades/{regrade}/changes": Rule("staff", TEACHING, of="regrade"),
    "GET /v1/report": READ,
    "POST /v1/submissions": Rule("submit", body=bodies.MAX_UPLOAD_BYTES, types=bodies.UPLOADS),
    "GET /v1/submissions/{submission}": Rule("read", of="submission"),
    "GET /v1/submissions/{submission}/report": Rule("read", of="submission"),
    "GET /v1/submissions/{submission}/source": Rule("read", of="submission"),
    "POST /v1/submissions/{submission}/cancellation": Rule("submit", of="submission"),
    "POST /v1/submissions/{submission}/judgings": Rule("staff", STAFF, of="submission"),
    "POST /v1/submissions/{submission}/overruling": Rule("staff", TEACHING, of="submission"),
    "POST /v1/submissions/{submission}/appeal": Rule("submit", of="submission"),
    "POST /v1/submissions/{submission}/release": Rule("submit", of="submission"),
    "GET /v1/judgings/{judging}": Rule("read", of="judging"),
    "GET /v1/judgings/{judging}/report": Rule("read", of="judging"),
    "GET /v1/judgings/{judging}/events": Rule("read", of="judging"),
    "GET /v1/courses": READ,
    "POST /v1/courses": Rule("staff", TEACHING),
    "GET /v1/courses/{course}": COURSE,
    "GET /v1/courses/{course}/roster": TEACH,
    "POST /v1/courses/{course}/roster": TEACH_WITH_FILE,
    "POST /v1/courses/{course}/assignments": TEACH,
    "GET /v1/courses/{course}/assignments/{assignment}": COURSE,
    "PUT /v1/courses/{course}/assignments/{assignment}": TEACH,
    "GET /v1/courses/{course}/assignments/{assignment}/extensions": TEACH,
    "PUT /v1/courses/{course}/assignments/{assignment}/extensions/{login}": TEACH,
    "PUT /v1/courses/{course}/assignments/{assignment}/overrides": TEACH,
    "GET /v1/courses/{course}/assignments/{assignment}/similarity": TEACH,
    "GET /v1/courses/{course}/gradebook": COURSE,
    "GET /v1/courses/{course}/gradebook/export": TEACH,
    "POST /v1/courses/{course}/gradebook/fill": TEACH_WITH_FILE,
    "GET /v1/courses/{course}/appeals": COURSE,
    "POST /v1/courses/{course}/appeals/{appeal}": TEACH,
}


@dataclass(frozen=True)
class Caller:
    """Who asks: the account, the token used, and what both together may do."""

    access: Access
    scopes: frozenset[str]

    @property
    def account(self) -> str:
        """The account's id."""
        return self.access.account.id

    @property
    def learner(self) -> str:
        """The name under which the store keeps what they send."""
        return self.access.account.learner

    @property
    def organisation(self) -> str:
        """The organisation of which they may see what their role allows."""
        return self.access.account.organisation


class Guarded(APIRoute):
    """A route that lets through what its rule in `RULES` allows, its body read whole."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the guard before the route; KeyError where it has no rule."""
        handler = super().get_route_handler()
        method = min(self.methods or ())
        rule = RULES[f"{method} {self.path}"]
        known = {field.alias for field in self.dependant.query_params}

        async def guarded(request: Request) -> Response:
            request.state.more = method in {"POST", "PUT"}
            try:
                if rule.scope is not None:
                    await run_in_threadpool(_admit, request, rule)
                if rule.query == "known" and (unknown := request.query_params.keys() - known):
                    raise UsageError("E6111", f"query.{min(unknown)} is not as it must be", cause="it is not known")
                if request.state.more:
                    request = await bodies.read(
                        request, rule.body, rule.types, _service(request).settings.upload_seconds
                    )
            except GraderError as error:
                if error.code != "E6113":  # too slow already
                    await bodies.discard(request)
                raise
            return await handler(request)

        return guarded


def router(tag: str) -> APIRouter:
    """Return a router all of whose routes are guarded; `tag` groups them in the OpenAPI document."""
    return APIRouter(route_class=Guarded, tags=[tag])


async def caller(request: Request) -> Caller:
    """Return who asks, of a route that needs a login."""
    found: Caller = request.state.caller
    return found


async def progress(request: Request) -> Progress:
    """Return how far the judging is that the route is about."""
    found: Progress = request.state.progress
    return found


async def owner(request: Request) -> str:
    """Return the learner whose object the route is about."""
    learner: str = request.state.owner
    return learner


def _admit(request: Request, rule: Rule) -> None:
    service = _service(request)
    found = _caller(request, service.identity)
    request.state.caller = found
    role = found.access.account.role
    if rule.scope not in found.scopes or role not in rule.roles:
        raise NotAllowed(
            "E6104",
            "this is not for you",
            cause=f"it takes the scope {rule.scope} and the role {' or '.join(sorted(rule.roles))}; yours is {role}",
            hint="log in with another account, or ask for a token with that scope",
        )
    if rule.of == "course":
        _enter(service, found, request.path_params["course"])
    elif rule.of is not None:
        request.state.owner = _owner(request, rule, found)


def _service(request: Request) -> "Service":
    found: Service = request.app.state.service
    return found


def _caller(request: Request, identity: Identity) -> Caller:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise LoginNeeded("E6101", "a token is needed", hint="grader auth login")
    access = identity.by_token(token.strip())
    if access is None:
        raise LoginNeeded(
            "E6102",
            "the token is not accepted",
            cause="it is unknown, expired or revoked, or its account is disabled",
            hint="grader auth login",
        )
    return Caller(access, access.token.scopes & SCOPES[access.account.role])


def _owner(request: Request, rule: Rule, who: Caller) -> str:
    """Return whose object it is, if the caller may know that there is one. Raises NotFound E5101."""
    service, kind, name = _service(request), rule.of or "", request.path_params[rule.of or ""]
    with contextlib.suppress(NotFound):
        if kind == "regrade":
            regrade = service.store.regrade(name)
            if (regrade.exercise, regrade.organisation) == (request.path_params["exercise"], who.organisation):
                return regrade.by
        else:
            if kind == "judging":
                request.state.progress = service.store.progress(name)
                learner = request.state.progress.learner
            else:
                learner = service.store.learner(name)
            if learner == who.learner or _is_staff_of(service.identity, who, learner):
                return str(learner)
    raise NotFound("E5101", f"no {kind} {name!r}", hint="`grader history EX` lists yours")


def teaches(who: Caller) -> bool:
    """Tell whether a caller acts as one who teaches, in all courses of their organisation."""
    return "staff" in who.scopes and who.access.account.role in TEACHING


def _enter(service: "Service", who: Caller, course: str) -> None:
    """Raise NotFound E5107 unless the caller teaches the course or is in it."""
    if teaches(who):
        service.courses.course(who.organisation, course)
    elif not service.courses.is_member(who.organisation, course, who.learner):
        raise NotFound("E5107", f"no course {course!r}", hint="grader course list")


def _is_staff_of(identity: Identity, who: Caller, learner: str) -> bool:
    if "staff" not in who.scopes or who.access.account.role not in STAFF:
        return False
    account = identity.by_learner(learner)
    return account is not None and account.organisation == who.organisation
