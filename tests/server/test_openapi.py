"""The OpenAPI document is true: requests made from it, right and wrong ones, never surprise the server."""

from contextlib import nullcontext, suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from grader.server.access import RULES

# A stream that waits for a judging is no answer to compare: test_serve reads those.
ROUTES = [route for route in RULES if not route.endswith("/events")]

pytestmark = pytest.mark.parametrize("where", ["sqlite"], indirect=True)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("route", ROUTES)
def test_every_route_keeps_to_its_description(client, world, as_, route, mode):
    """No 5xx, and no status, type or body that is not described; what the document forbids is refused."""
    world.sent_and_judged("main/operator")
    method, path = route.split(" ")
    operation = schemathesis.openapi.from_asgi("/v1/openapi.json", client.app)[path][method]
    if mode is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or operation.body):
        return  # there is nothing to send

    # `derandomize` is the fixed seed.
    @settings(max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        # Not every text is the name of an exercise or file, however well it fits its schema.
        case.call_and_validate(headers=as_("main/operator"), excluded_checks=[positive_data_acceptance])

    # Of some routes any text is right.
    with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
        check()


def test_the_description_has_every_route_with_its_rule(client):
    """Each with a group, a text, its security as in the table of rules, and the form of its errors."""
    found = client.get("/v1/openapi.json").json()
    routes = {
        f"{method.upper()} {path}": each for path, item in found["paths"].items() for method, each in item.items()
    }
    assert routes.keys() == RULES.keys()
    for route, operation in routes.items():
        assert ("security" in operation) == (RULES[route].scope is not None), route
        assert operation["tags"], route
        assert operation["description"], route
        assert "application/problem+json" in operation["responses"]["default"]["content"], route
