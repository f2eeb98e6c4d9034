"""The way in: what is taken, what is refused with which code, and that nothing is stored twice or lost."""

import base64
import gzip
import json

import nbformat
import pytest

from grader.server import bodies, watch
from grader.store.models import Judging, Outbox, Source, Submission
from grader.verdict import Verdict
from tests.server.conftest import RIGHT_SOURCE, moment, problem

SENT = {"exercise": "double", "filename": "double.py", "source": "def double(x): ...\n"}
ADA = "main/ada"


@pytest.fixture
def ada(as_):
    """Return ada's headers."""
    return as_(ADA)


@pytest.fixture
def rows(world):
    """Return a function: how many rows a table has."""

    def count(model):
        with world.store.transaction(writes=False) as session:
            return session.query(model).count()

    return count


def form(filename, content, boundary=b"b", exercise=b"double"):
    """Write a form as a client does, with any bytes in the file's name."""
    return b"\r\n".join(
        [
            b"--" + boundary,
            b'Content-Disposition: form-data; name="exercise"',
            b"",
            exercise,
            b"--" + boundary,
            b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"',
            b"Content-Type: text/x-python",
            b"",
            content,
            b"--" + boundary + b"--",
            b"",
        ]
    )


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def test_a_form_is_stored_and_queued_before_the_answer(client, ada, world, bell):
    """202 names submission and judging, both there; a worker was told once."""
    answer = client.post(
        "/v1/submissions", headers=ada, data={"exercise": "double"}, files={"file": ("double.py", RIGHT_SOURCE)}
    )
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted["attempt"] == 1
    assert not accepted["replayed"]
    assert answer.headers["location"] == accepted["links"]["submission"]
    assert world.store.source(accepted["submission"]) == RIGHT_SOURCE
    assert world.store.position(accepted["judging"]) == 0
    assert bell.queues == ["cpu"]
    for link in ("submission", "judging"):
        assert client.get(accepted["links"][link], headers=ada).json()[link] == accepted[link]


def test_a_place_in_the_line_is_told(client, ada, as_, world, monkeypatch):
    """By the line as it was a moment ago; one that has come since is looked up, one that has gone has no place."""
    monkeypatch.setattr(watch, "_LINE_SECONDS", 3600.0)
    first, second = world.send(ADA), world.send("main/learner")

    def before(judging, headers):
        return client.get(f"/v1/judgings/{judging}", headers=headers).json()["before"]

    assert [before(first.judging, ada), before(second.judging, as_("main/learner"))] == [0, 1]
    third = world.send(ADA)
    assert before(third.judging, ada) == 2
    world.judge(first)
    assert before(first.judging, ada) is None
    assert before(second.judging, as_("main/learner")) == 1  # as it was
    monkeypatch.setattr(client.app.state.service.watch, "_line_until", 0.0)
    assert before(second.judging, as_("main/learner")) == 0


@pytest.mark.parametrize(
    "body",
    [
        {"source": RIGHT_SOURCE.decode()},
        {"source_base64": base64.b64encode(RIGHT_SOURCE).decode()},
    ],
    ids=["text", "base64"],
)
def test_json_holds_the_file_as_text_or_in_base64(client, ada, world, body):
    """Both give the same bytes as a form does."""
    answer = client.post("/v1/submissions", headers=ada, json={"exercise": "double", "filename": "double.py"} | body)
    assert answer.status_code == 202
    assert world.store.source(answer.json()["submission"]) == RIGHT_SOURCE


def test_a_notebook_becomes_python(client, ada, world):
    """Its code cells are what is judged; what is no notebook is told so."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_markdown_cell("y")])
    sent = client.post(
        "/v1/submissions", headers=ada, json=SENT | {"filename": "double.ipynb", "source": nbformat.writes(book)}
    )
    assert world.store.source(sent.json()["submission"]) == b"# %% cell 1\nx = 1"
    bad = client.post("/v1/submissions", headers=ada, json=SENT | {"filename": "double.ipynb", "source": "x = 1"})
    problem(bad, 422, "E2107")


def test_the_same_key_and_body_store_nothing_twice(client, ada, rows, bell):
    """A client that never saw the answer sends again, as JSON or as a form, and gets the same ids."""
    headers = ada | {"Idempotency-Key": "k1"}
    first = client.post("/v1/submissions", headers=headers, json=SENT).json()
    again = client.post("/v1/submissions", headers=headers, json=SENT).json()
    other = client.post(
        "/v1/submissions",
        headers=headers,
        data={"exercise": "double"},
        files={"file": ("double.py", SENT["source"].encode())},
    ).json()
    assert [each["replayed"] for each in (first, again, other)] == [False, True, True]
    assert first["judging"] == again["judging"] == other["judging"]
    assert rows(Submission) == 1
    assert bell.queues == ["cpu"]


@pytest.mark.parametrize("changed", [{"source": "x = 2"}, {"filename": "other.py"}, {"exercise": "softmax"}])
def test_the_same_key_with_another_body_is_refused(client, ada, rows, changed):
    """The key stands for what was sent first; nothing is stored."""
    headers = ada | {"Idempotency-Key": "k1"}
    client.post("/v1/submissions", headers=headers, json=SENT)
    problem(client.post("/v1/submissions", headers=headers, json=SENT | changed), 422, "E2117")
    assert rows(Submission) == 1


def test_sending_again_is_neither_refused_nor_counted(serve, ada, rows):
    """Whoever lost the answer gets it, though the exercise has closed since and no more may be sent."""
    headers = ada | {"Idempotency-Key": "k1"}
    first = serve(submissions_per_minute=3.0).post("/v1/submissions", headers=headers, json=SENT).json()
    for client in (serve(closed="double"), serve(submissions_per_minute=3.0, in_flight=1)):
        for _ in range(3):
            again = client.post("/v1/submissions", headers=headers, json=SENT).json()
            assert (again["replayed"], again["submission"]) == (True, first["submission"])
    assert rows(Submission) == 1


def test_a_key_is_its_learners_own(client, as_):
    """Two learners may use the same key."""
    answers = [
        client.post("/v1/submissions", headers=as_(who) | {"Idempotency-Key": "k1"}, json=SENT).json()
        for who in (ADA, "other/ada")
    ]
    assert answers[0]["submission"] != answers[1]["submission"]


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"x = 1", 415, "E6108"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"exercise=double", 415, "E6108"),
        ({}, b"x = 1", 415, "E6108"),
        ({"Content-Type": "application/json"}, b"", 400, "E6110"),
        ({"Content-Type": "application/json"}, b"{", 400, "E6110"),
        ({"Content-Type": "application/json"}, b"[" * 100_000, 400, "E6110"),
        ({"Content-Type": "application/json"}, b"\xff\xfe{}", 400, "E6110"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"more": 1}).encode(), 400, "E6110"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"exercise": 1}).encode(), 400, "E6110"),
        ({"Content-Type": "application/json"}, b'{"exercise": "double", "filename": "x.py"}', 400, "E6110"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"source_base64": ""}).encode(), 400, "E6110"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"filename": "\ud800.py"}).encode(), 400, "E6110"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"filename": "a\0.py"}).encode(), 422, "E6111"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"exercise": "a\0"}).encode(), 404, "E5101"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"exercise": "../x"}).encode(), 404, "E5101"),
        ({"Content-Type": "application/json"}, json.dumps(SENT | {"exercise": "unknown"}).encode(), 404, "E5101"),
        ({"Content-Type": "multipart/form-data"}, form(b"double.py", b"x"), 400, "E6112"),
        (FORM, form(b"double.py", b"x")[:-6], 400, "E6112"),
        (FORM, form(b"double.py", b"x")[:60], 400, "E6112"),
        (FORM, b"--b--\r\n", 400, "E6110"),
        (FORM, b"\r\n--b\r\nno header\r\n--b--\r\n", 400, "E6110"),
        (FORM, form(b"", b"x"), 422, "E6111"),
        (FORM, form(b"../../double.py", b"x"), 422, "E6111"),
        (FORM, form(rb"a\\b.py", b"x"), 422, "E6111"),
        (FORM, form(b"..", b"x"), 422, "E6111"),
        (FORM, form(b"a" * 101, b"x"), 422, "E6111"),
        (FORM, form(b"double\x00.py", b"x"), 422, "E6111"),
        (FORM, form("\u202edouble.py".encode(), b"x"), 422, "E6111"),
        (FORM, form(b"double.py", b"x", exercise=b"\xff\xfe"), 404, "E5101"),
        ({"Content-Type": FORM["Content-Type"] + "; charset=unicode_escape"}, form(rb"\\ud800.py", b"x"), 422, "E6111"),
        ({"Content-Type": "application/json", "Idempotency-Key": "a b"}, json.dumps(SENT).encode(), 422, "E6111"),
        ({"Content-Type": "application/json", "Idempotency-Key": "a" * 101}, json.dumps(SENT).encode(), 422, "E6111"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, gzip.compress(b"{}", mtime=0), 415, "E6109"),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, b"{}", 415, "E6109"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_code(client, ada, rows, headers, body, status, code):
    """Each kind of bad request has one status and one code, and stores nothing."""
    problem(client.post("/v1/submissions", headers=ada | headers, content=body), status, code)
    assert [rows(model) for model in (Submission, Source, Outbox)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("source", "stored"),
    [(b"", b""), (b"\0\xff\xfe", b"\0\xff\xfe"), (b"x = '\xed\xa0\x80'\r\n", b"x = '\xed\xa0\x80'\r\n")],
    ids=["empty", "binary", "surrogates"],
)
def test_what_is_in_a_file_is_no_reason_to_refuse_it(client, ada, world, source, stored):
    """It is stored byte for byte, and gets a verdict."""
    answer = client.post("/v1/submissions", headers=ada | FORM, content=form(b"double.py", source))
    assert world.store.source(answer.json()["submission"]) == stored


@pytest.mark.parametrize("name", ["softmax.py", "ein Name mit Ümläuten.py", "Untitled (1).py", "-", "x"])
def test_ordinary_names_are_taken(client, ada, name):
    """Names that people have are no reason to refuse a file."""
    answer = client.post("/v1/submissions", headers=ada, json=SENT | {"filename": name})
    assert client.get(answer.json()["links"]["submission"], headers=ada).json()["filename"] == name


def test_size_is_counted_on_the_stream(client, ada, rows):
    """A body without a length, or with one byte too many, is refused before anything is parsed."""

    def chunks(size):
        for _ in range(size // 2**20):
            yield b"a" * 2**20

    headers = ada | {"Content-Type": "application/json"}
    answer = client.post("/v1/submissions", headers=headers, content=chunks(bodies.MAX_UPLOAD_BYTES + 2**21))
    problem(answer, 413, "E2105")
    large = form(b"double.py", b"a" * (bodies.MAX_FILE_BYTES + 1))
    problem(client.post("/v1/submissions", headers=ada | FORM, content=large), 413, "E2105")
    largest = form(b"double.py", b"a" * bodies.MAX_FILE_BYTES)
    assert client.post("/v1/submissions", headers=ada | FORM, content=largest).status_code == 202
    assert rows(Submission) == 1


def test_other_routes_take_small_bodies_only(client, ada):
    """A login of a megabyte is not parsed."""
    headers = {"Content-Type": "application/json"}
    problem(client.post("/v1/login", headers=headers, content=b" " * 2**20), 413, "E2105")


def test_a_closed_exercise_takes_nothing(serve, ada, rows):
    """Those who may see it are told that it is closed."""
    client = serve(closed="softmax, double")
    problem(client.post("/v1/submissions", headers=ada, json=SENT), 403, "E6105")
    assert client.get("/v1/exercises/double", headers=ada).json()["closed"]
    assert rows(Submission) == 0


def test_so_many_wait_at_a_time(serve, ada, as_, world):
    """The limit is each learner's own, ends with a judging, and a repeated key is no new submission."""
    client = serve(in_flight=2, submissions_per_minute=10_000.0)
    sent = [
        client.post("/v1/submissions", headers=ada | {"Idempotency-Key": f"k{number}"}, json=SENT)
        for number in range(3)
    ]
    assert [each.status_code for each in sent] == [202, 202, 429]
    problem(sent[2], 429, "E6107")
    assert int(sent[2].headers["retry-after"]) >= 1
    again = client.post("/v1/submissions", headers=ada | {"Idempotency-Key": "k1"}, json=SENT)
    assert again.json()["replayed"]
    assert client.post("/v1/submissions", headers=as_("main/learner"), json=SENT).status_code == 202
    world.judge(world.store.watch([sent[0].json()["judging"]])[0])
    assert client.post("/v1/submissions", headers=ada, json=SENT).status_code == 202


def test_so_often_in_a_minute(serve, ada, as_):
    """A third of a minute's submissions at once, then one at a time; others are not slowed."""
    client = serve(in_flight=1000, submissions_per_minute=6.0)
    sent = [client.post("/v1/submissions", headers=ada, json=SENT) for _ in range(3)]
    assert [each.status_code for each in sent] == [202, 202, 429]
    problem(sent[2], 429, "E6106")
    assert 1 <= int(sent[2].headers["retry-after"]) <= 10
    assert client.post("/v1/submissions", headers=as_("main/learner"), json=SENT).status_code == 202


def test_what_waits_can_be_cancelled(client, ada, world):
    """The answer shows it cancelled; the line on it is kept once; whoever follows it is told that it is done."""
    sent = client.post("/v1/submissions", headers=ada, json=SENT).json()
    path = f"/v1/submissions/{sent['submission']}/cancellation"
    for _ in range(2):
        answer = client.post(path, headers=ada)
        assert (answer.status_code, answer.json()["status"], answer.json()["verdict"]) == (200, "done", "cancelled")
    kept = world.identity.audit(10, subject=sent["submission"])
    assert [each.action for each in kept] == ["submission.cancel"]
    stream = client.get(sent["links"]["events"], headers=ada).text
    assert "event: done" in stream
    assert client.get(sent["links"]["report"], headers=ada).json()["verdict"] == "cancelled"
    judged = client.post("/v1/submissions", headers=ada, json=SENT).json()
    world.judge(world.store.watch([judged["judging"]])[0], Verdict.WRONG_ANSWER, 1.0)
    late = client.post(f"/v1/submissions/{judged['submission']}/cancellation", headers=ada)
    problem(late, 409, "E2126")


def test_a_submission_shows_its_judgings_and_their_phases(client, ada, world):
    """Rejudged, it has two; the phases come in their order, and start before the answer of the upload."""
    sent = client.post("/v1/submissions", headers=ada, json=SENT).json()
    waiting = client.get(sent["links"]["submission"], headers=ada).json()
    assert (waiting["status"], waiting["verdict"]) == ("queued", None)
    world.judge(world.store.watch([sent["judging"]])[0], Verdict.WRONG_ANSWER, 1.0)
    again = world.store.rejudge(sent["submission"], queue="cpu")
    found = client.get(sent["links"]["submission"], headers=ada).json()
    assert (found["judging"], found["verdict"], found["score"]) == (sent["judging"], "wrong_answer", 1.0)
    assert [each["judging"] for each in found["judgings"]] == [sent["judging"], again.judging]
    phases = found["judgings"][0]["phases"]
    assert list(phases) == ["received", "queued", "claimed", "ready", "judged", "stored"]
    moments = [moment(each) for each in phases.values()]
    assert moments == sorted(moments)


@pytest.mark.parametrize(
    ("form", "media_type", "start"),
    [
        ("json", "application/json", '{\n  "schema": "grader/report/1"'),
        ("full", "application/json", "{"),
        ("concise", "text/plain; charset=utf-8", "double: accepted: 3 of 3 points"),
        ("junit", "application/xml", "<testsuites"),
        ("gradescope", "application/json", "{"),
    ],
)
def test_a_report_comes_in_every_format(client, ada, world, form, media_type, start):
    """By submission and by judging, without our own traceback."""
    queued = world.sent_and_judged(ADA)
    for path in (f"submissions/{queued.submission}", f"judgings/{queued.judging}"):
        answer = client.get(f"/v1/{path}/report", headers=ada, params={"format": form})
        assert answer.headers["content-type"] == media_type
        assert answer.text.startswith(start)
        assert "a traceback of ours" not in answer.text


def test_a_report_that_is_not_there_yet_says_so(client, ada, world):
    """It has its own code; an unknown format is refused."""
    queued = world.send(ADA)
    problem(client.get(f"/v1/submissions/{queued.submission}/report", headers=ada), 404, "E5103")
    answer = client.get(f"/v1/submissions/{queued.submission}/report?format=pdf", headers=ada)
    problem(answer, 422, "E6111")


def test_the_database_counts_as_many_judgings_as_were_accepted(client, ada, rows):
    """Fifty submissions are fifty judgings, each waiting."""
    for number in range(50):
        client.post("/v1/submissions", headers=ada, json=SENT | {"source": f"x = {number}"})
    assert rows(Judging) == rows(Outbox) == 50
