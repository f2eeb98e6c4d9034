"""What may be read: exercises without their secrets, histories, leaderboards, and what staff see."""

import os

import pytest

from grader import exercise as exercises
from grader.store.models import Audit, Overruling
from grader.verdict import Verdict
from tests.server.conftest import problem

ADA = "main/ada"


@pytest.fixture
def ada(as_):
    """Return ada's headers."""
    return as_(ADA)


def test_an_exercise_has_all_that_a_student_needs_and_nothing_more(client, ada, exercise):
    """Statement, starter and public examples are there; nothing of hidden tests, reference or mistakes."""
    answer = client.get("/v1/exercises/double", headers=ada)
    found = answer.json()
    for name, file in (("statement", "statement.md"), ("starter", "starter.py"), ("public_tests", "public_tests.py")):
        assert found[name] == (exercise / file).read_text()
    assert found["functions"] == [{"name": "double", "signature": "(x, factor=2.0)", "returns": "array"}]
    assert found["limits"]["memory_mib"] == 96
    for secret in ("918273", "return factor * x", "Three is one too many", "factor is left out", str(exercise)):
        assert secret not in answer.text


def test_all_exercises_are_listed_and_a_malformed_one_does_not_hide_them(client, ada, exercise):
    """Each by its name; what is broken is left out, and is the server's fault when asked for."""
    listed = client.get("/v1/exercises", headers=ada).json()["exercises"]
    assert [each["name"] for each in listed] == exercises.names()
    (exercise / "exercise.toml").write_text("title = 1")
    listed = client.get("/v1/exercises", headers=ada).json()["exercises"]
    assert "double" not in {each["name"] for each in listed}
    found = problem(client.get("/v1/exercises/double", headers=ada), 500, "E2202")
    assert str(exercise) not in found["detail"]


def test_an_exercise_that_changes_is_read_again(client, ada, exercise):
    """A new version shows at once, without a restart."""
    before = client.get("/v1/exercises/double", headers=ada).json()
    (exercise / "statement.md").write_text("# Double\n\nNew.\n")
    os.utime(exercise / "statement.md", (1, 1))
    after = client.get("/v1/exercises/double", headers=ada).json()
    assert after["statement"] == "# Double\n\nNew.\n"
    assert before["version"] != after["version"]


def test_a_history_is_ones_own(client, ada, as_, world):
    """The newest first, with the judging that speaks; an exercise that does not exist is told so."""
    first = world.sent_and_judged(ADA, Verdict.WRONG_ANSWER, 1.0)
    second = world.send(ADA)
    found = client.get("/v1/exercises/double/history", headers=ada).json()["submissions"]
    assert [each["submission"] for each in found] == [second.submission, first.submission]
    assert [each["attempt"] for each in found] == [2, 1]
    assert [each["verdict"] for each in found] == [None, "wrong_answer"]
    assert client.get("/v1/exercises/double/history", headers=as_("main/learner")).json()["submissions"] == []
    problem(client.get("/v1/exercises/unknown/history", headers=ada), 404, "E5101")
    problem(client.get("/v1/exercises/double/history?limit=0", headers=ada), 422, "E6111")
    problem(client.get("/v1/exercises/double/history?limt=1", headers=ada), 422, "E6111")


def test_a_leaderboard_shows_names_that_were_opted_in(client, as_, ada, world):
    """Of one's own organisation; a name is taken once, and can be taken back."""
    for learner, score in ((ADA, 2.0), ("main/learner", 3.0), ("other/ada", 3.0)):
        world.sent_and_judged(learner, score=score)
    assert names(client, ada) == ["Ada"]
    put(client, as_("main/learner"), "Grace")
    assert names(client, ada) == ["Grace", "Ada"]
    problem(put(client, as_("main/hiring"), "Grace"), 409, "E2118")
    put(client, as_("main/learner"), None)
    assert names(client, ada) == ["Ada"]
    problem(put(client, ada, "  "), 422, "E6111")


def test_a_leaderboard_shows_how_fast_the_best_are(client, as_, ada, world):
    """Beside the score, and decides between equal ones; null where nothing was timed."""
    put(client, as_("main/learner"), "Grace")
    world.sent_and_judged(ADA)
    world.sent_and_judged("main/learner", ratios=(1.5, 1.25))
    places = client.get("/v1/exercises/double/leaderboard", headers=ada).json()["places"]
    assert [(each["name"], each["speed_ratio"]) for each in places] == [("Grace", 1.5), ("Ada", None)]


def put(client, headers, name):
    """Choose a public name."""
    return client.put("/v1/account/public-name", headers=headers, json={"public_name": name})


def names(client, headers):
    """Return the names on the leaderboard."""
    places = client.get("/v1/exercises/double/leaderboard", headers=headers).json()["places"]
    return [each["name"] for each in places]


def test_staff_page_through_what_was_sent(client, as_, world):
    """Every submission of the organisation, once, the newest first."""
    sent = [world.send(learner).submission for learner in (ADA, "main/learner", ADA, "main/hiring", ADA)]
    world.send("other/ada")
    found, before = [], None
    while True:
        page = client.get(
            "/v1/exercises/double/submissions",
            headers=as_("main/instructor"),
            params={"limit": 2} | ({"before": before} if before else {}),
        ).json()
        found += [each["attempt"]["submission"] for each in page["submissions"]]
        if (before := page["next"]) is None:
            break
    assert found == sent[::-1]


def test_an_overruling_keeps_who_and_why(client, as_, world, bell):
    """It is queued, in the audit trail, and refused while it is under way or where there is nothing to waive."""
    queued = world.sent_and_judged(ADA, Verdict.POLICY_VIOLATION, 0.0)
    path = f"/v1/submissions/{queued.submission}/overruling"
    for bad in ({}, {"reason": ""}, {"reason": " \n"}, {"reason": "x" * 1001}):
        problem(client.post(path, headers=as_("main/instructor"), json=bad), 422, "E6111")
    answer = client.post(path, headers=as_("main/instructor"), json={"reason": " a comment "})
    assert answer.status_code == 202
    with world.store.transaction(writes=False) as session:
        overruling = session.get(Overruling, answer.json()["judging"])
        assert (overruling.staff, overruling.reason) == ("main/instructor", "a comment")
        assert session.query(Audit).filter_by(action="submission.overrule", subject=queued.submission).count() == 1
    assert bell.queues == ["cpu"]
    problem(client.post(path, headers=as_("main/instructor"), json={"reason": "again"}), 409, "E2115")


def test_a_regrade_judges_again_what_another_version_has_judged(client, as_, world, bell):
    """Of this organisation, with the old seed, once; what changed is listed, and who began it is kept."""
    old = [world.sent_and_judged(ADA, version="old", seed=f"{number:032x}").submission for number in range(3)]
    world.sent_and_judged(ADA)
    world.sent_and_judged("other/ada", version="old")
    staff, path = as_("main/instructor"), "/v1/exercises/double/regrades"
    listed = client.get(f"{path}/candidates", headers=staff).json()["candidates"]
    assert [each["submission"] for each in listed] == old
    begun = [client.post(path, headers=staff, json={}).json()["regrade"] for _ in range(2)]
    assert [each["total"] for each in begun] == [3, 3]
    assert begun[0]["regrade"] == begun[1]["regrade"]
    assert bell.queues == ["cpu"] * 3
    problem(client.post(path, headers=staff, json={"never_lower": True}), 409, "E2119")
    for number, submission in enumerate(old):
        last = world.store.submission(submission).judgings[-1]
        assert world.store.claim(last.judging, "a worker", 0.0).seed == f"{number:032x}"
        world.judge(last, *((Verdict.WRONG_ANSWER, 1.0) if number else (Verdict.ACCEPTED, 3.0)))
    world.store.sweep()
    found = client.get(path, headers=staff).json()["regrades"]
    assert [(each["done"], each["waiting"], each["ended_at"] is None) for each in found] == [(3, 0, False)]
    changes = client.get(f"{path}/{found[0]['regrade']}/changes?limit=2", headers=staff).json()
    assert [each["submission"] for each in changes["changes"]] == old[1:]
    assert [(each["before"]["score"], each["after"]["score"]) for each in changes["changes"]] == [(3.0, 1.0)] * 2
    assert client.get(f"{path}/candidates", headers=staff).json()["candidates"] == []
    assert client.post(path, headers=staff, json={}).json() == {"regrade": None}
    with world.store.transaction(writes=False) as session:
        assert session.query(Audit).filter_by(action="exercise.regrade", subject="double").count() == 2
