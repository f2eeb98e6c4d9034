"""The application: its routes, its errors, its description."""

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from grader import __version__
from grader.errors import GraderError
from grader.server import accounts, courses, exercises, judgings, oidc, operations, problems, shapes, staff, submissions
from grader.server.access import RULES
from grader.server.metrics import Database, Metrics
from grader.server.service import Bell, Service
from grader.server.settings import Settings
from grader.store import Store


def create(settings: Settings, store: Store, bell: Bell) -> FastAPI:
    """Return the application over a store; `bell` tells workers that there is work."""
    service = Service(settings, store, bell)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = settings.threads
        service.canary.start()
        yield
        await to_thread.run_sync(service.canary.stop)

    app = FastAPI(
        title="grader",
        version=__version__,
        summary="Send exercises to be judged, follow the judging, read the reports.",
        lifespan=lifespan,
        openapi_url=None,  # ours is a route like any other, with a rule
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for module in (exercises, submissions, judgings, staff, courses, accounts, oidc, operations):
        app.router.routes.extend(module.routes.routes)
    for kind in (GraderError, HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, problems.on_error)
    registry = CollectorRegistry()
    registry.register(Database(store))
    oidc.set_up(app, settings)
    app.add_middleware(Metrics, registry=registry)
    app.state.service = service
    app.state.registry = registry
    describe = app.openapi
    app.openapi = functools.cache(lambda: _secured(describe()))  # type: ignore[method-assign]
    return app


def _secured(description: dict[str, Any]) -> dict[str, Any]:
    """Add what the rules ask for, and that every error is a problem."""
    components = description.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    components["schemas"]["Problem"] = shapes.Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            rule = RULES[f"{method.upper()} {path}"]
            if rule.scope is not None:
                operation["security"] = [{"token": []}]
                roles = ", ".join(sorted(rule.roles))
                operation["description"] += f"\n\nScope `{rule.scope}`; roles {roles}."
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "An error.", "content": problem}
    return description
