"""Who may do what: every route, for every role, on one's own, a colleague's and a stranger's objects."""

import base64
import itertools
import re

import pytest

from grader import exercise as exercises
from grader import roster
from grader.course import Actor, Assignment, Item
from grader.server.access import RULES, Guarded, Rule, router
from grader.store.courses import Courses
from grader.verdict import Verdict

ROLES = ("anonymous", "learner", "instructor", "hiring", "operator")

# Of routes about an object there is a row for one's own, one of the same organisation, and one of another.
EXPECTED = """
route                                           object   anonymous learner instructor hiring operator
GET /health                                     -        200 200 200 200 200
GET /ready                                      -        200 200 200 200 200
GET /metrics                                    -        401 403 403 403 200
GET /v1/openapi.json                            -        200 200 200 200 200
GET /v1/problems/{code}                         -        200 200 200 200 200
POST /v1/login                                  -        401 401 401 401 401
GET /v1/oidc/login                              -        404 404 404 404 404
GET /v1/oidc/callback                           -        404 404 404 404 404
POST /v1/devices                                -        201 201 201 201 201
POST /v1/devices/poll                           -        200 200 200 200 200
GET /v1/devices/{user_code}                     -        401 200 200 200 200
POST /v1/devices/{user_code}                    -        401 204 204 204 204
GET /v1/account                                 -        401 200 200 200 200
PUT /v1/account/public-name                     -        401 204 204 204 204
GET /v1/tokens                                  -        401 200 200 200 200
POST /v1/tokens                                 -        401 201 201 201 201
DELETE /v1/tokens/{token}                       own      401 204 204 204 204
DELETE /v1/tokens/{token}                       other    401 404 404 404 404
DELETE /v1/tokens/{token}                       foreign  401 404 404 404 404
GET /v1/exercises                               -        401 200 200 200 200
GET /v1/exercises/{exercise}                    -        401 200 200 200 200
GET /v1/exercises/{exercise}/history            -        401 200 200 200 200
GET /v1/exercises/{exercise}/leaderboard        -        401 200 200 200 200
GET /v1/exercises/{exercise}/submissions        -        401 403 200 200 200
GET /v1/exercises/{exercise}/regrades           -        401 403 200 403 200
POST /v1/exercises/{exercise}/regrades          -        401 403 202 403 202
GET /v1/exercises/{exercise}/regrades/candidates  -      401 403 200 403 200
GET /v1/exercises/{exercise}/regrades/{regrade}/changes  own      401 403 200 403 200
GET /v1/exercises/{exercise}/regrades/{regrade}/changes  foreign  401 403 404 403 404
GET /v1/report                                  own      401 200 200 200 200
GET /v1/report                                  other    401 404 404 404 404
POST /v1/submissions                            -        401 202 202 202 202
GET /v1/submissions/{submission}                own      401 200 200 200 200
GET /v1/submissions/{submission}                other    401 404 200 200 200
GET /v1/submissions/{submission}                foreign  401 404 404 404 404
GET /v1/submissions/{submission}/report         own      401 200 200 200 200
GET /v1/submissions/{submission}/report         other    401 404 200 200 200
GET /v1/submissions/{submission}/report         foreign  401 404 404 404 404
GET /v1/submissions/{submission}/source         own      401 200 200 200 200
GET /v1/submissions/{submission}/source         other    401 404 200 200 200
GET /v1/submissions/{submission}/source         foreign  401 404 404 404 404
POST /v1/submissions/{submission}/cancellation  own      401 409 409 409 409
POST /v1/submissions/{submission}/cancellation  other    401 404 409 409 409
POST /v1/submissions/{submission}/cancellation  foreign  401 404 404 404 404
POST /v1/submissions/{submission}/judgings      own      401 403 202 202 202
POST /v1/submissions/{submission}/judgings      other    401 403 202 202 202
POST /v1/submissions/{submission}/judgings      foreign  401 403 404 404 404
POST /v1/submissions/{submission}/overruling    own      401 403 202 403 202
POST /v1/submissions/{submission}/overruling    other    401 403 202 403 202
POST /v1/submissions/{submission}/overruling    foreign  401 403 404 403 404
GET /v1/judgings/{judging}                      own      401 200 200 200 200
GET /v1/judgings/{judging}                      other    401 404 200 200 200
GET /v1/judgings/{judging}                      foreign  401 404 404 404 404
GET /v1/judgings/{judging}/report               own      401 200 200 200 200
GET /v1/judgings/{judging}/report               other    401 404 200 200 200
GET /v1/judgings/{judging}/report               foreign  401 404 404 404 404
GET /v1/judgings/{judging}/events               own      401 200 200 200 200
GET /v1/judgings/{judging}/events               other    401 404 200 200 200
GET /v1/judgings/{judging}/events               foreign  401 404 404 404 404
POST /v1/submissions/{submission}/appeal        own      401 201 201 201 201
POST /v1/submissions/{submission}/appeal        other    401 404 404 404 404
POST /v1/submissions/{submission}/appeal        foreign  401 404 404 404 404
POST /v1/submissions/{submission}/release       own      401 200 200 200 200
POST /v1/submissions/{submission}/release       other    401 404 404 404 404
POST /v1/submissions/{submission}/release       foreign  401 404 404 404 404
GET /v1/courses                                 -        401 200 200 200 200
POST /v1/courses                                -        401 403 201 403 201
GET /v1/courses/{course}                        own      401 200 200 200 200
GET /v1/courses/{course}                        other    401 404 200 404 200
GET /v1/courses/{course}                        foreign  401 404 404 404 404
GET /v1/courses/{course}/assignments/{assignment}  own      401 200 200 200 200
GET /v1/courses/{course}/assignments/{assignment}  other    401 404 200 404 200
GET /v1/courses/{course}/assignments/{assignment}  foreign  401 404 404 404 404
GET /v1/courses/{course}/gradebook              own      401 200 200 200 200
GET /v1/courses/{course}/gradebook              other    401 404 200 404 200
GET /v1/courses/{course}/gradebook              foreign  401 404 404 404 404
GET /v1/courses/{course}/appeals                own      401 200 200 200 200
GET /v1/courses/{course}/appeals                other    401 404 200 404 200
GET /v1/courses/{course}/appeals                foreign  401 404 404 404 404
GET /v1/courses/{course}/roster                 own      401 403 200 403 200
GET /v1/courses/{course}/roster                 other    401 403 200 403 200
GET /v1/courses/{course}/roster                 foreign  401 403 404 403 404
POST /v1/courses/{course}/roster                own      401 403 200 403 200
POST /v1/courses/{course}/roster                other    401 403 200 403 200
POST /v1/courses/{course}/roster                foreign  401 403 404 403 404
POST /v1/courses/{course}/assignments           own      401 403 201 403 201
POST /v1/courses/{course}/assignments           other    401 403 201 403 201
POST /v1/courses/{course}/assignments           foreign  401 403 404 403 404
PUT /v1/courses/{course}/assignments/{assignment}  own      401 403 200 403 200
PUT /v1/courses/{course}/assignments/{assignment}  other    401 403 200 403 200
PUT /v1/courses/{course}/assignments/{assignment}  foreign  401 403 404 403 404
GET /v1/courses/{course}/assignments/{assignment}/extensions  own      401 403 200 403 200
GET /v1/courses/{course}/assignments/{assignment}/extensions  other    401 403 200 403 200
GET /v1/courses/{course}/assignments/{assignment}/extensions  foreign  401 403 404 403 404
PUT /v1/courses/{course}/assignments/{assignment}/extensions/{login}  own      401 403 200 403 200
PUT /v1/courses/{course}/assignments/{assignment}/extensions/{login}  other    401 403 200 403 200
PUT /v1/courses/{course}/assignments/{assignment}/extensions/{login}  foreign  401 403 404 403 404
PUT /v1/courses/{course}/assignments/{assignment}/overrides  own      401 403 200 403 200
PUT /v1/courses/{course}/assignments/{assignment}/overrides  other    401 403 200 403 200
PUT /v1/courses/{course}/assignments/{assignment}/overrides  foreign  401 403 404 403 404
GET /v1/courses/{course}/assignments/{assignment}/similarity  own      401 403 200 403 200
GET /v1/courses/{course}/assignments/{assignment}/similarity  other    401 403 200 403 200
GET /v1/courses/{course}/assignments/{assignment}/similarity  foreign  401 403 404 403 404
GET /v1/courses/{course}/gradebook/export       own      401 403 200 403 200
GET /v1/courses/{course}/gradebook/export       other    401 403 200 403 200
GET /v1/courses/{course}/gradebook/export       foreign  401 403 404 403 404
POST /v1/courses/{course}/gradebook/fill        own      401 403 200 403 200
POST /v1/courses/{course}/gradebook/fill        other    401 403 200 403 200
POST /v1/courses/{course}/gradebook/fill        foreign  401 403 404 403 404
POST /v1/courses/{course}/appeals/{appeal}      own      401 403 200 403 200
POST /v1/courses/{course}/appeals/{appeal}      other    401 403 200 403 200
POST /v1/courses/{course}/appeals/{appeal}      foreign  401 403 404 403 404
"""
BODIES = {
    "POST /v1/login": {"name": "ada", "password": "wrong"},
    "POST /v1/devices": {},
    "POST /v1/devices/poll": {"device_code": "unknown"},
    "POST /v1/devices/{user_code}": {"approve": True},
    "POST /v1/tokens": {"label": "test", "scopes": ["read"]},
    "POST /v1/exercises/{exercise}/regrades": {},
    "POST /v1/submissions": {"exercise": "double", "filename": "double.py", "source": "x = 1"},
    "POST /v1/submissions/{submission}/overruling": {"reason": "the name is in a comment"},
    "POST /v1/submissions/{submission}/appeal": {"reason": "the tolerance is too tight"},
    "POST /v1/courses/{course}/roster": {"content": base64.b64encode(b"login,name\nada,Ada\n").decode()},
    "POST /v1/courses/{course}/assignments": {"name": "another", "items": [{"exercise": "double"}]},
    "PUT /v1/courses/{course}/assignments/{assignment}": {"attempts": 3},
    "PUT /v1/courses/{course}/assignments/{assignment}/extensions/{login}": {"more_attempts": 1},
    "PUT /v1/courses/{course}/assignments/{assignment}/overrides": {
        "login": "ada",
        "exercise": "double",
        "score": 1.0,
        "reason": "oral",
    },
    "POST /v1/courses/{course}/gradebook/fill": {
        "form": "canvas",
        "content": base64.b64encode(b"Student,SIS Login ID\n    Points Possible,\n").decode(),
    },
    "POST /v1/courses/{course}/appeals/{appeal}": {"accept": True},
}
ROWS = [
    (row[0], row[1], dict(zip(ROLES, map(int, row[2].split()), strict=True)))
    for line in EXPECTED.strip().splitlines()[1:]
    for row in [re.split(r"\s{2,}", line)]
]


def whose(role, which):
    """Name the learner whose object it is: the role's own, another's, or one of the other organisation."""
    return {"own": f"main/{role}", "other": "main/ada", "foreign": "other/ada"}.get(which, "main/ada")


_numbers = itertools.count(1)


def course_of(world, learner):
    """Make a course of the learner's organisation with the learner and ada in it; return what routes name."""
    organisation, login = learner.split("/")
    courses, teacher, name = Courses(world.store), Actor(None, "teacher"), f"dl-{next(_numbers)}"
    courses.add(organisation, name, title="", timezone="UTC", by=teacher)
    people = roster.read(f"login,name\n{login},Learner\n{'' if login == 'ada' else 'ada,Ada'}\n".encode())
    courses.import_roster(organisation, name, people, by=teacher)
    items = [Item(exercise="double", points=10.0)]
    made = Assignment(name="hw1", items=items, tokens=1, disclosure="never", published=True)
    courses.add_assignment(organisation, name, made, by=teacher)
    first = world.sent_and_judged(learner)
    courses.appeal(first.submission, learner, "why")
    (appeal,) = courses.appeals(organisation, name)
    return {"course": name, "assignment": "hw1", "login": "ada", "appeal": appeal.id}


@pytest.fixture
def objects(world):
    """Return a function that makes a learner's objects anew, and names them as the routes' parameters do."""

    def make(learner, route=""):
        if "{course}" in route:
            return course_of(world, learner)
        if "/appeal" in route or "/release" in route:
            course_of(world, learner)
        queued = world.sent_and_judged(learner, Verdict.POLICY_VIOLATION)
        world.sent_and_judged(learner, version="old")
        organisation = learner.split("/")[0]
        regrade = world.store.begin_regrade(
            "double", exercises.load("double").version, title="", by=learner, queue="cpu", organisation=organisation
        )
        _, token = world.identity.issue_token(
            world.accounts[learner].id, label="", scopes=frozenset({"read"}), seconds=60.0, by=None
        )
        return {
            "submission": queued.submission,
            "judging": queued.judging,
            "token": token.id,
            "user_code": world.identity.start_device(label="", scopes=frozenset({"read"})).user_code,
            "exercise": "double",
            "regrade": regrade.regrade,
            "code": "E2105",
        }

    return make


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("route", "which", "expected"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_every_route_answers_every_role_as_the_table_says(client, as_, objects, route, which, expected):
    """Nobody gets less, or more, than the table above gives; a refusal is a problem."""
    method, pattern = route.split(" ")
    found: dict[str, int] = {}
    made: dict[str, str] = {}
    for role in ROLES:
        learner = "main/learner" if role == "anonymous" else f"main/{role}"
        if which == "own" or method != "GET" or not made:
            made = objects(whose(learner.split("/")[1], which), route)
        headers = {} if role == "anonymous" else as_(learner)
        body = BODIES.get(route)
        if route == "PUT /v1/account/public-name":
            body = {"public_name": role}
        elif route == "POST /v1/courses":
            body = {"name": f"new-{role}"}
        asked = {"exercise": "double"} if route.endswith("/similarity") else {}
        answer = client.request(method, pattern.format(**made), headers=headers, json=body, params=asked)
        found[role] = answer.status_code
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
    assert found == expected


def test_the_table_has_every_route_of_the_app_and_no_other(client):
    """A route without an expectation would be one that nobody thought about."""
    routes = {f"{method} {route.path}" for route in client.app.routes for method in route.methods}
    assert all(isinstance(route, Guarded) for route in client.app.routes)
    assert routes == {row[0] for row in ROWS} == set(RULES)


def test_a_route_without_a_rule_cannot_be_defined():
    """Whoever forgets the rule learns it when the program starts."""
    with pytest.raises(KeyError):

        @router("test").get("/v1/secrets")
        def tell():
            return {}


def test_every_object_route_asks_whose_it_is():
    """A path with an id of a submission or judging has a rule about that object."""
    for route, rule in RULES.items():
        for name in ("submission", "judging", "regrade", "course"):
            if f"{{{name}}}" in route:
                assert rule.of == name, route
                assert rule != Rule(None)


def test_somebody_elses_object_looks_like_none(client, as_, objects):
    """The answer for another's id differs from that for no id in nothing but the id."""
    theirs = objects("main/ada")
    for path, name in (("submissions", "submission"), ("judgings", "judging")):
        real = theirs[name]
        absent = real[:-4] + "0000"
        answers = [client.get(f"/v1/{path}/{each}", headers=as_("main/learner")) for each in (real, absent)]
        assert answers[0].text.replace(real, absent) == answers[1].text
        assert [each.status_code for each in answers] == [404, 404]


@pytest.mark.parametrize(
    ("scopes", "route", "status"),
    [
        ({"read"}, "POST /v1/submissions", 403),
        ({"submit"}, "GET /v1/exercises", 403),
        ({"submit", "read"}, "GET /v1/exercises/double/submissions", 403),
        ({"staff"}, "GET /v1/exercises/double/submissions", 200),
        ({"submit", "read", "staff"}, "GET /metrics", 403),
        ({"operate"}, "GET /metrics", 200),
        (set(), "GET /v1/account", 403),
    ],
)
def test_a_token_does_no_more_than_its_scopes(client, world, scopes, route, status):
    """An operator's token without a scope is refused like anyone's."""
    token = world.token("main/operator", scopes)
    method, path = route.split(" ")
    answer = client.request(method, path, headers={"Authorization": f"Bearer {token}"}, json={})
    assert answer.status_code == status


def test_a_staff_token_without_the_scope_sees_only_its_own(client, world, objects):
    """An instructor's token for reading is a learner's."""
    token = world.token("main/instructor", {"read"})
    path = f"/v1/submissions/{objects('main/ada')['submission']}"
    assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_a_lower_role_takes_effect_at_once(client, world, as_):
    """A token issued to an instructor who is a learner now does no more than a learner's."""
    path = "/v1/exercises/double/submissions"
    assert client.get(path, headers=as_("main/instructor")).status_code == 200
    world.identity.set_role(world.accounts["main/instructor"].id, "learner", by=None)
    assert client.get(path, headers=as_("main/instructor")).status_code == 403
