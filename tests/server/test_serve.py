"""A real server, as a process over PostgreSQL: streams, broken uploads, a database that goes away."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

import grader
from tests.conftest import RIGHT
from tests.server import live
from tests.server.live import Stream

ADA = "main/ada"
SENT = {"exercise": "double", "filename": "double.py", "source": RIGHT["function"].decode()}


@pytest.fixture
def server(world, postgres, where):
    """Start a server over the world's PostgreSQL, whose broker does not answer."""
    with live.start(GRADER_DATABASE_URL=where, GRADER_BROKER_URL="redis+socket:///nowhere.sock") as running:
        yield running
        assert running.stop() == 0


pytestmark = pytest.mark.parametrize("where", ["postgresql"], indirect=True)


def test_phases_stream_as_they_come_and_resume_where_they_broke_off(server, world):
    """Each phase comes once over two connections; after the last event there is nothing more."""
    token = world.tokens[ADA]
    status, sent = server.request("POST", "/v1/submissions", token, SENT)
    assert status == 202
    path = sent["links"]["events"]
    first = Stream(server, path, token)
    events = first.events()
    told = [next(events) for _ in range(3)]
    first.close()
    assert [(name, data.get("phase", data.get("before"))) for name, _, data in told] == [
        ("phase", "received"),
        ("phase", "queued"),
        ("position", 0),
    ]
    last = told[1][1]
    second = Stream(server, path, token, last)
    more = second.events()
    world.judge(world.store.watch([sent["judging"]])[0])
    rest = list(more)
    phases = [data["phase"] for name, _, data in rest if name == "phase"]
    assert phases == ["claimed", "ready", "judged", "stored"]
    assert rest[-1][0] == "done"
    assert rest[-1][2]["verdict"] == "accepted"
    second.close()
    after = Stream(server, path, token, rest[-1][1])
    assert after.status == 204
    after.close()


def test_a_judging_that_is_queued_again_is_told_from_there(server, world):
    """Its worker was lost: the stream says queued a second time, and then claimed again."""
    token = world.tokens[ADA]
    queued = world.send(ADA)
    claim = world.store.claim(queued.judging, "a worker", 60.0)
    stream = Stream(server, f"/v1/judgings/{queued.judging}/events", token)
    events = (data["phase"] for name, _, data in stream.events() if name == "phase")
    assert [next(events) for _ in range(3)] == ["received", "queued", "claimed"]
    assert world.store.release(claim)
    assert next(events) == "queued"
    world.judge(queued)
    assert [next(events) for _ in range(4)] == ["claimed", "ready", "judged", "stored"]
    stream.close()


def test_many_streams_are_served_and_let_go(server, world):
    """Fifty clients that follow one judging all see its end; those that leave do not disturb."""
    token = world.tokens[ADA]
    queued = world.send(ADA)
    streams = [Stream(server, f"/v1/judgings/{queued.judging}/events", token) for _ in range(50)]
    for stream in streams[::5]:
        stream.close()
    world.judge(queued)
    stays = [stream for number, stream in enumerate(streams) if number % 5]
    assert {list(stream.events())[-1][0] for stream in stays} == {"done"}
    for stream in stays:
        stream.close()
    assert server.request("GET", "/health")[0] == 200


def test_an_upload_that_breaks_off_stores_nothing_and_harms_nobody(server, world):
    """Cut amid the head, amid the body, and half closed: the server goes on, without a traceback."""
    token = world.tokens[ADA]
    body = json.dumps(SENT).encode()
    head = (
        f"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    for cut in (20, len(head), len(head) + 1, len(head) + len(body) - 1):
        with server.connect() as connection:
            connection.sendall((head + body)[:cut])
    with server.connect() as connection:
        connection.sendall((head + body)[:-1])
        connection.shutdown(1)
        connection.recv(1000)
    assert server.request("GET", "/health")[0] == 200
    assert world.store.waiting() == {}
    assert "Traceback" not in "".join(server.log)


def test_a_body_of_100_mb_gets_its_answer(server, world):
    """With its length told, and in chunks: 413 is read by a client that sends all before it reads."""
    token = world.tokens[ADA]
    whole = b"a" * 100_000_000
    status, told = server.request("POST", "/v1/submissions", token, whole, **{"Content-Type": "application/json"})
    assert (status, told["code"]) == (413, "E2105")

    def chunks():
        for _ in range(100):
            yield b"a" * 1_000_000

    status, told = server.request(
        "POST",
        "/v1/submissions",
        token,
        chunks(),
        **{"Content-Type": "application/json"},
    )
    assert (status, told["code"]) == (413, "E2105")
    assert server.request("GET", "/health")[0] == 200


def test_an_upload_that_stalls_is_given_up(world, postgres, where):
    """After so many seconds it is answered, and the connection let go."""
    address = {"GRADER_DATABASE_URL": where, "GRADER_BROKER_URL": "redis+socket:///nowhere.sock"}
    with live.start(**address, GRADER_UPLOAD_SECONDS="0.5") as server, server.connect() as connection:
        connection.sendall(
            f"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.tokens[ADA]}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        with connection.makefile("rb") as file:
            answer = file.read()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"E6113" in answer


def test_a_database_that_goes_away_is_503_until_it_is_back(server, world, cluster, where):
    """What was sent meanwhile is refused with E3106, and taken again afterwards; nothing else is lost."""
    token = world.tokens[ADA]
    assert server.request("GET", "/ready")[0] == 200
    world.store.close()
    name = make_url(where).database
    cluster.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    cluster.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608  our own
    status, told = server.request("POST", "/v1/submissions", token, SENT)
    assert status == 503
    assert told["code"] in {"E3106", "E3107"}
    assert server.request("GET", "/health")[0] == 200
    cluster.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert server.request("POST", "/v1/submissions", token, SENT)[0] == 202


def test_secrets_are_needed(where):
    """Without an address, or with a password that everybody knows, the server does not start."""
    for environment, code in (
        ({}, "E1201"),
        ({"GRADER_DATABASE_URL": "postgresql://grader:grader@db/grader"}, "E1202"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "grader", "serve"],
            env=os.environ | {"PYTHONPATH": str(Path(grader.__file__).parents[1])} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 2
        assert f"error[{code}]" in ended.stderr
