"""Courses over HTTP: who sees what of them, and what is refused when."""

import base64

import pytest

from grader import roster
from grader.course import Actor, Assignment, Item
from grader.store.courses import Courses
from tests.server.conftest import problem

ADA = "main/ada"
LEARNER = "main/learner"
INES = "main/instructor"
SENT = {"exercise": "double", "filename": "double.py", "source": "def double(x): ...\n"}
TEACHER = Actor(None, "ines")
DAY = 86400
LONG_AGO, SOON = "2020-01-01T00:00:00Z", "2199-01-01T00:00:00Z"


@pytest.fixture
def courses(world):
    """Return the courses, with `dl` that ada and a learner are in."""
    found = Courses(world.store)
    found.add("main", "dl", title="Deep learning", timezone="Europe/Berlin", by=TEACHER)
    people = roster.read(b"login,name,cohort\nada,Ada,a\nlearner,Lee,b\n")
    found.import_roster("main", "dl", people, by=TEACHER)
    return found


@pytest.fixture
def assign(courses):
    """Return a factory: a published assignment of `double`."""

    def make(name="hw1", **changes):
        values = {"name": name, "items": [Item(exercise="double", points=10.0)], "published": True}
        return courses.add_assignment("main", "dl", Assignment(**(values | changes)), by=TEACHER)

    return make


@pytest.fixture
def call(client, as_):
    """Return a function: send a request as an account."""

    def send(who, method, path, body=None):
        return client.request(method, f"/v1{path}", headers=as_(who), json=body)

    return send


def encoded(text):
    """Return a file as a request carries it."""
    return base64.b64encode(text.encode()).decode()


def test_a_course_from_nothing_to_a_grade(call, world):
    """An instructor makes course, roster and assignment; a learner sends; both see the grade, the learner theirs."""
    assert call(INES, "POST", "/courses", {"name": "dl", "timezone": "Europe/Berlin"}).status_code == 201
    told = call(INES, "POST", "/courses/dl/roster", {"content": encoded("login,name\nada,Ada\nlearner,Lee\n")}).json()
    assert (told["stored"], told["added"]) == (True, ["ada", "learner"])
    made = {"name": "hw1", "items": [{"exercise": "double", "points": 10}], "due_at": SOON, "late": "10%/day"}
    answer = call(INES, "POST", "/courses/dl/assignments", made)
    assert (answer.status_code, answer.json()["published"]) == (201, False)
    problem(call(ADA, "GET", "/courses/dl/assignments/hw1"), 404, "E5107")
    assert call(ADA, "GET", "/courses/dl").json()["assignments"] == []
    assert call(INES, "PUT", "/courses/dl/assignments/hw1", {"published": True}).json()["due_at"] == SOON
    for who, score in ((ADA, 3.0), (LEARNER, 1.5)):
        world.sent_and_judged(who, score=score)
    book = call(INES, "GET", "/courses/dl/gradebook").json()
    assert [(line["person"]["login"], line["score"]) for line in book["lines"]] == [("ada", 10), ("learner", 5)]
    mine = call(LEARNER, "GET", "/courses/dl/gradebook").json()
    assert [line["person"]["login"] for line in mine["lines"]] == ["learner"]
    exported = call(INES, "GET", "/courses/dl/gradebook/export?form=canvas")
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert exported.text.splitlines()[2] == "Ada,,,ada,,10"
    filled = call(INES, "POST", "/courses/dl/gradebook/fill", {"form": "canvas", "content": encoded(exported.text)})
    assert filled.json()["text"] == exported.text


def test_a_roster_with_problems_is_told_and_not_stored(call, courses):
    """Each problem with its line; the others, if so asked."""
    bad = encoded("login,name\nbob,Bob\nada,=1+1\n")
    told = call(INES, "POST", "/courses/dl/roster", {"content": bad}).json()
    assert told["stored"] is False
    assert [(each["line"], bool(each["hint"])) for each in told["problems"]] == [(3, True)]
    assert call(INES, "POST", "/courses/dl/roster", {"content": bad, "skip_bad": True}).json()["stored"] is True
    found = call(INES, "GET", "/courses/dl/roster").json()["members"]
    assert [each["person"]["login"] for each in found] == ["ada", "bob", "learner"]
    assert [each["person"]["login"] for each in call(INES, "GET", "/courses/dl/roster?cohort=b").json()["members"]] == [
        "learner"
    ]


@pytest.mark.parametrize(
    ("changes", "status", "code", "told"),
    [
        ({"opens_at": SOON}, 403, "E6201", "2199-01-01 01:00:00 +0100 (Europe/Berlin)"),
        ({"closes_at": LONG_AGO}, 403, "E6202", "2020-01-01 01:00:00 +0100 (Europe/Berlin)"),
        ({"attempts": 1}, 403, "E6203", "1 of 1 are used"),
        ({"cooldown_seconds": DAY}, 429, "E6204", "(Europe/Berlin)"),
    ],
)
def test_a_submission_is_refused_with_the_time_at_which_it_will_be_taken(call, assign, changes, status, code, told):
    """By the server's clock; Retry-After only where there will be a time. Nothing is stored."""
    assign()
    assert call(ADA, "POST", "/submissions", SENT).status_code == 202
    changed = call(INES, "PUT", "/courses/dl/assignments/hw1", changes)
    assert changed.status_code == 200
    refused = call(ADA, "POST", "/submissions", SENT)
    assert told in problem(refused, status, code)["detail"]
    assert ("retry-after" in refused.headers) == (code in {"E6201", "E6204"})
    assert len(call(ADA, "GET", "/exercises/double/history").json()["submissions"]) == 1
    assert call("main/hiring", "POST", "/submissions", SENT).status_code == 202


def test_sending_again_under_a_key_is_no_attempt(client, as_, assign):
    """What was stored is answered again, also when nothing is taken any more."""
    assign(attempts=1)
    headers = as_(ADA) | {"Idempotency-Key": "k1"}
    first = client.post("/v1/submissions", headers=headers, json=SENT)
    again = client.post("/v1/submissions", headers=headers, json=SENT)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["submission"] == first.json()["submission"]
    problem(client.post("/v1/submissions", headers=as_(ADA), json=SENT), 403, "E6203")


def test_an_extension_lets_one_learner_in(call, assign):
    """More attempts for ada, whom it tells."""
    assign(attempts=1, due_at=None)
    call(ADA, "POST", "/submissions", SENT)
    problem(call(ADA, "POST", "/submissions", SENT), 403, "E6203")
    granted = {"more_attempts": 1, "reason": "illness"}
    assert call(INES, "PUT", "/courses/dl/assignments/hw1/extensions/ada", granted).status_code == 200
    assert call(ADA, "GET", "/courses/dl/assignments/hw1").json()["mine"]["attempts_left"] == {"double": 1}
    assert call(ADA, "POST", "/submissions", SENT).status_code == 202
    listed = call(INES, "GET", "/courses/dl/assignments/hw1/extensions").json()["extensions"]
    assert [(each["login"], each["reason"]) for each in listed] == [("ada", "illness")]
    problem(call(INES, "PUT", "/courses/dl/assignments/hw1/extensions/nobody", granted), 404, "E5107")


def test_hidden_results_stay_hidden_on_every_way_to_a_report(call, assign, world):
    """By submission, by judging, as the latest, in each format; staff see all, and so does whoever spends a token."""
    assign(disclosure="never", tokens=1)
    sent = world.sent_and_judged(ADA, score=3.0)
    ways = [f"/submissions/{sent.submission}/report", f"/judgings/{sent.judging}/report", "/report"]
    for way in ways:
        report = call(ADA, "GET", way).json()
        assert (report["tests"], report["withheld"], report["score"]) == ([], 1, 3.0)
        for form in ("concise", "junit", "gradescope"):
            assert "test_doubles" not in call(ADA, "GET", f"{way}?format={form}").text
    assert len(call(INES, "GET", ways[0]).json()["tests"]) == 1
    assert call(ADA, "POST", f"/submissions/{sent.submission}/release").json() == {"tokens_left": 0}
    assert all(len(call(ADA, "GET", way).json()["tests"]) == 1 for way in ways)
    second = world.sent_and_judged(ADA)
    problem(call(ADA, "POST", f"/submissions/{second.submission}/release"), 403, "E6205")


def test_learners_are_not_told_the_names_of_hidden_tests(call, assign):
    """Rules for single tests are for staff."""
    assign(items=[Item(exercise="double", points=10.0, disclosure={"test_secret": "never"})])
    assert "test_secret" in call(INES, "GET", "/courses/dl/assignments/hw1").text
    assert "test_secret" not in call(ADA, "GET", "/courses/dl/assignments/hw1").text


def test_an_appeal_and_its_answer(call, assign, world):
    """Learners see their own; the answer changes no score, an override does, and both are in the audit trail."""
    assign()
    sent = world.sent_and_judged(ADA, score=1.5)
    (made,) = call(ADA, "POST", f"/submissions/{sent.submission}/appeal", {"reason": "why?"}).json()["appeals"]
    problem(call(ADA, "POST", f"/submissions/{sent.submission}/appeal", {"reason": "why?"}), 409, "E2308")
    assert call(LEARNER, "GET", "/courses/dl/appeals").json()["appeals"] == []
    path = f"/courses/dl/appeals/{made['id']}"
    assert call(INES, "POST", path, {"accept": True, "answer": "right"}).json()["state"] == "accepted"
    problem(call(INES, "POST", path, {"accept": False}), 409, "E2308")
    assert call(ADA, "GET", "/courses/dl/gradebook").json()["lines"][0]["score"] == 5
    score = {"login": "ada", "exercise": "double", "score": 7.0, "reason": "appeal"}
    assert call(INES, "PUT", "/courses/dl/assignments/hw1/overrides", score).status_code == 200
    (cell,) = call(ADA, "GET", "/courses/dl/gradebook").json()["lines"][0]["cells"]
    assert (cell["raw"], cell["score"], cell["overridden"]) == (5, 7, "appeal")
    actions = {entry.action: entry.account for entry in world.identity.audit(20)}
    for action in ("appeal.answer", "score.override"):
        assert actions[action] == world.accounts[INES].id


def test_similarity_is_for_those_who_teach(call, assign, world):
    """Files that are alike are told with their lines, to staff alone."""
    assign()
    for who in (ADA, LEARNER):
        world.sent_and_judged(who, source=b"def double(x, factor=2.0):\n    return factor * x + 0 * (x - x) * factor\n")
    found = call(INES, "GET", "/courses/dl/assignments/hw1/similarity?exercise=double").json()
    assert (found["files"], found["pairs"], found["usual"]) == (2, 1, None)
    assert [(match["first"], match["second"]) for match in found["most"]] == [(["ada"], ["learner"])]
    problem(call(LEARNER, "GET", "/courses/dl/assignments/hw1/similarity?exercise=double"), 403, "E6104")
    problem(call(INES, "GET", "/courses/dl/assignments/hw1/similarity?exercise=other"), 404, "E5107")


def test_an_instructors_token_without_the_scope_is_a_strangers(client, world, courses):
    """Reading alone does not open a course that they are not in."""
    headers = {"Authorization": f"Bearer {world.token(INES, {'read'})}"}
    problem(client.get("/v1/courses/dl", headers=headers), 404, "E5107")
    assert client.get("/v1/courses", headers=headers).json() == {"courses": []}


def test_an_unknown_exercise_or_test_cannot_be_set(call, courses):
    """It is told before anything is stored."""
    for item, status in (
        ({"exercise": "nothing"}, 404),
        ({"exercise": "double", "disclosure": {"test_nothing": "never"}}, 422),
    ):
        assert call(INES, "POST", "/courses/dl/assignments", {"name": "hw1", "items": [item]}).status_code == status
    assert call(INES, "GET", "/courses/dl").json()["assignments"] == []
