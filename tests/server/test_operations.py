"""Health, readiness, metrics, and the errors of the framework itself."""

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from grader import __version__
from grader.errors import OurFault
from grader.explain import CATALOGUE
from grader.verdict import Verdict
from tests.server.conftest import problem

ADA = "main/ada"


def test_alive_needs_nothing(client):
    """Not even a database, and says which version it is; so does every answer, and that nobody is to keep it."""
    answer = client.get("/health")
    assert answer.json() == {"status": "alive", "version": __version__}
    for each in (answer, client.get("/v1/nowhere"), client.get("/v1/account")):
        assert (each.headers["grader-version"], each.headers["cache-control"]) == (__version__, "no-store")


def test_ready_needs_the_database(client, world, monkeypatch):
    """Without it the answer is 503, says when to ask again, and names no host."""
    assert client.get("/ready").json() == {"status": "ready", "canary_age_seconds": None}

    def fail():
        raise OurFault("E3106", "no PostgreSQL answers for grader on db.internal", cause="secret host")

    monkeypatch.setattr(world.store, "waiting", fail)
    answer = client.get("/ready")
    problem(answer, 503, "E3106")
    assert answer.headers["retry-after"]
    assert "secret host" not in answer.text


def test_ready_means_that_a_canary_came_back(serve, world):
    """Before the first one it is not ready; a judging that ends by our own fault is no canary that came back."""
    client = serve(canary="double", canary_seconds=1.0)
    problem(client.get("/ready"), 503, "E6114")
    canary = waiting(world)
    world.judge(canary, Verdict.INTERNAL_ERROR, 0.0)
    time.sleep(1.2)
    problem(client.get("/ready"), 503, "E6114")
    deadline = time.monotonic() + 20
    while client.get("/ready").status_code != 200 and time.monotonic() < deadline:
        for judging in world.store.line():
            world.judge(world.store.watch([judging])[0], Verdict.RUNTIME_ERROR, 0.0)
        time.sleep(0.1)
    assert client.get("/ready").json()["canary_age_seconds"] < 3.0


def test_canaries_go_first(serve, world):
    """A long queue is no reason to call the server sick."""
    for _ in range(3):
        world.send(ADA)
    serve(canary="double", canary_seconds=60.0)
    assert world.store.position(waiting(world).judging) == 0


def waiting(world):
    """Return the first canary's judging, once it waits."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for each in world.store.watch(list(world.store.line())):
            if each.learner.startswith("canary "):
                return each
        time.sleep(0.05)
    raise AssertionError("no canary was sent")


def test_metrics_count_requests_queues_and_verdicts(client, as_, world):
    """By route and not by address, by status, by queue, by verdict."""
    world.sent_and_judged(ADA)
    world.sent_and_judged(ADA, Verdict.WRONG_ANSWER, 1.0)
    world.send(ADA)
    for name in ("double", "unknown", "\u202e"):
        client.get(f"/v1/exercises/{name}", headers=as_(ADA))
    client.get("/v1/nowhere")
    text = client.get("/metrics", headers=as_("main/operator")).text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def requests(route, status, method="GET"):
        return found["grader_request_seconds_count", ("method", method), ("route", route), ("status", status)]

    assert requests("/v1/exercises/{exercise}", "200") == 1
    assert requests("/v1/exercises/{exercise}", "404") == 2
    assert requests("none", "404", "any") == 1
    assert found["grader_queue_length", ("queue", "cpu")] == 1
    assert 0 <= found["grader_queue_oldest_seconds", ("queue", "cpu")] < 60
    assert found["grader_judgings", ("verdict", "accepted")] == 1
    assert found["grader_judgings", ("verdict", "wrong_answer")] == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "E5201"),
        ("GET", "/v1/nowhere", 404, "E5201"),
        ("GET", "/v1/exercises/", 404, "E5201"),
        ("GET", "/v1/exercises/..%2f..%2fetc", 404, "E5201"),
        ("GET", "/docs", 404, "E5201"),
        ("DELETE", "/v1/exercises", 405, "E5202"),
        ("POST", "/health", 405, "E5202"),
        ("OPTIONS", "/v1/submissions", 405, "E5202"),
        ("TRACE", "/v1/submissions", 405, "E5202"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(client, method, path, status, code):
    """No such address, no such method: the same form as every error."""
    answer = client.request(method, path)
    problem(answer, status, code)
    assert status != 405 or answer.headers["allow"] == ("POST" if path.endswith("submissions") else "GET")


def test_a_mistake_of_ours_tells_nothing_of_itself(client, as_, world, monkeypatch, caplog):
    """500 with E3001; the traceback goes into the log of whoever runs the server."""
    monkeypatch.setattr(world.store, "board", lambda *_args, **_more: 1 // 0)
    answer = client.get("/v1/exercises/double/leaderboard", headers=as_(ADA))
    problem(answer, 500, "E3001")
    assert "division" not in answer.text
    counted = 'grader_request_seconds_count{method="GET",route="/v1/exercises/{exercise}/leaderboard",status="500"} 1.0'
    assert counted in client.get("/metrics", headers=as_("main/operator")).text


def test_every_code_can_be_looked_up(client):
    """The `type` of a problem is an address that explains it."""
    for code, entry in CATALOGUE.items():
        assert client.get(f"/v1/problems/{code}").json()["cause"] == entry.cause
    problem(client.get("/v1/problems/E9999"), 404, "E5104")
