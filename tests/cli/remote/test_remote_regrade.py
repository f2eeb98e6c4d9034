"""`grader regrade` where a server is configured: through its API."""

import json

from grader.verdict import Verdict


def test_staff_regrade_through_a_servers_api(ada, judge, world):
    """In the background too; a learner may not, and a dry run needs the hidden tests, which a server keeps."""
    judge.pause.set()
    sent = world.sent_and_judged(ada.learner, Verdict.WRONG_ANSWER, 1.0, version="old")
    staff = {"GRADER_TOKEN": world.tokens["main/instructor"]}
    assert "error[E6104]" in ada.run("regrade", "double").stderr
    assert "error[E2101]: --dry-run" in ada.run("regrade", "double", "--dry-run", **staff).stderr
    assert "1 are not judged yet" in ada.run("regrade", "double", "--detach", **staff).stderr
    judge.pause.clear()
    done = ada.run("regrade", "double", "--json", **staff)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["judged"], answer["left"]) == (0, 1, 0)
    (change,) = answer["changes"]
    assert (change["learner"], change["submission"]) == (ada.learner, sent.submission)
    assert (change["before"]["score"], change["after"]["score"]) == (1, 3)
    (line,) = json.loads(ada.run("history", "double", "--json").stdout)["submissions"]
    assert (line["score"], [each["score"] for each in line["others"]]) == (3, [1])
