"""`grader overrule`: staff waive the policy for a submission, with a reason that everybody reads."""

import json
from xml.etree import ElementTree as ET

import pytest

USE = "import numpy as np\n\n\ndef double(x, factor=2.0):\n    return np.multiply(factor, x)\n"
REASON = "The statement did not say it \x1b[31m until Monday."
SHOWN = "policy overruled by grace: The statement did not say it \\x1b[31m until Monday."


@pytest.fixture
def double(make_exercise, environment, work):
    """Set an exercise in which `multiply` is to be written, and a file of ada's that uses it."""
    plain = make_exercise().folder / "exercise.toml"
    changed = plain.read_text().replace("[versions]", '[policy]\nnames = ["multiply"]\n\n[versions]')
    exercise = make_exercise("function", {"exercise.toml": changed})
    environment |= {"GRADER_EXERCISES": str(exercise.folder.parent), "GRADER_LEARNER": "ada", "GRADER_ENGINE": "local"}
    (work / "double.py").write_text(USE)
    return exercise


@pytest.fixture
def violation(double, grader):
    """Submit the file; returns its report."""
    done = grader("submit", "double", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"], report["score"]) == (1, "policy_violation", 0)
    assert "overruled" not in report or report["overruled"] is None
    return report


def test_staff_overrule_a_violation_and_everybody_reads_why(grader, violation):
    """A further judging with the same seed and full points; who and why stand in every form, safe to print."""
    done = grader("overrule", violation["submission"], "--reason", REASON, "--json", GRADER_LEARNER="grace")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"], report["score"]) == (0, "accepted", report["max_score"])
    assert report["judging"] != violation["judging"]
    same = ("submission", "seed", "attempt", "exercise_version")
    assert {name: report[name] for name in same} == {name: violation[name] for name in same}
    assert (report["overruled"]["by"], report["overruled"]["reason"]) == ("grace", REASON)
    assert report["overruled"]["at"]

    assert json.loads(grader("results", "--json").stdout) == report
    page, concise, junit = (grader("results", "--format", form).stdout for form in ("full", "concise", "junit"))
    assert SHOWN in " ".join(page.split())
    assert concise == f"double: accepted: 3 of 3 points: {SHOWN}\n"
    assert ET.fromstring(junit).findtext("testsuite/system-out") == SHOWN  # noqa: S314 - our own output
    assert "\x1b" not in page + concise + junit
    assert [each["verdict"] for each in json.loads(grader("history", "double", "--json").stdout)["submissions"]] == [
        "accepted"
    ]
    assert json.loads(grader("results", violation["judging"], "--json").stdout) == violation


def test_a_later_rejudge_keeps_the_overruling(grader, violation):
    """Whoever asks for it: the same verdict, by whom and why."""
    identity = violation["submission"]
    first = json.loads(grader("overrule", identity, "--reason", REASON, "--json", GRADER_LEARNER="grace").stdout)
    again = grader("rejudge", identity, "--json")
    report = json.loads(again.stdout)
    assert (again.returncode, report["verdict"], report["overruled"]) == (0, "accepted", first["overruled"])
    assert report["judging"] != first["judging"]


@pytest.mark.parametrize("engine", ["docker", "bubblewrap"])
def test_it_is_judged_by_the_engine_asked_for(grader, violation, sandbox_images, engine):
    """The policy alone is waived; the sandbox stays."""
    done = grader("overrule", violation["submission"], "--reason", REASON, "--json", "--engine", engine)
    assert (done.returncode, json.loads(done.stdout)["environment"]["engine"]) == (0, engine)


@pytest.mark.parametrize("reason", ["", " \n ", "x" * 1001], ids=["empty", "blank", "too long"])
def test_a_reason_is_required(grader, violation, reason):
    """A usage error, and nothing is judged."""
    done = grader("overrule", violation["submission"], "--reason", reason)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[E2101]: a reason has 1 to 1000 characters" in done.stderr
    left_out = grader("overrule", violation["submission"])
    assert (left_out.returncode, "'--reason'" in left_out.stderr) == (2, True)
    assert json.loads(grader("results", "--json").stdout) == violation


def test_an_unknown_submission_is_told(grader, violation):
    """Exit code 5."""
    done = grader("overrule", "s_nothing", "--reason", "so")
    assert (done.returncode, done.stdout) == (5, "")
    assert "error[E5101]" in done.stderr


def test_only_a_violation_can_be_overruled(grader, violation, work):
    """Not an accepted submission, and not the same one twice; nothing changes."""
    (work / "double.py").write_text("def double(x, factor=2.0):\n    return factor * x\n")
    accepted = json.loads(grader("submit", "double", "--json").stdout)
    grader("overrule", violation["submission"], "--reason", REASON)
    for identity in (accepted["submission"], violation["submission"]):
        before = grader("results", identity, "--json").stdout
        done = grader("overrule", identity, "--reason", "once more")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"error[E2115]: submission {identity} has no policy violation to overrule" in done.stderr
        assert "cause: accepted" in done.stderr
        assert grader("results", identity, "--json").stdout == before


def test_an_engine_that_is_away_overrules_nothing(grader, violation):
    """Our fault; the violation stands, and can be overruled later."""
    arguments = ("overrule", violation["submission"], "--reason", REASON)
    done = grader(*arguments, "--engine", "docker", DOCKER_HOST="unix:///nonexistent/x.sock")
    assert (done.returncode, "error[E4104]" in done.stderr) == (3, True)
    assert json.loads(grader("results", "--json").stdout) == violation
    assert grader(*arguments).returncode == 0
