"""Each format carries the whole report, and nothing in it can act on a terminal or break a parser."""

import json
from xml.etree import ElementTree as ET

import msgspec
import pytest

from grader import formats
from grader import report as reports
from grader.cli import pages
from grader.formats import Format
from grader.report import Environment, Report, Usage
from grader.verdict import Verdict

HOSTILE = "\x1b[31m\x07<b>]]>&\u202eevil\u2066\x00\udc80\r\u200b"


@pytest.fixture
def report() -> Report:
    """One test passed, one failed with a hostile message, one that we could not run."""
    verdicts = [Verdict.ACCEPTED, Verdict.WRONG_ANSWER, Verdict.INTERNAL_ERROR]
    return Report(
        exercise="softmax",
        exercise_version="abc",
        verdict=Verdict.WRONG_ANSWER,
        score=2.5,
        max_score=8,
        message="",
        tests=[
            reports.TestReport(
                name=f"test_{number}",
                title=f"Title {number}.",
                verdict=verdict,
                points=2.5 if verdict is Verdict.ACCEPTED else 0,
                max_points=2.5,
                message="" if verdict is Verdict.ACCEPTED else HOSTILE,
                explanation="" if verdict is Verdict.ACCEPTED else "Subtract the maximum.",
            )
            for number, verdict in enumerate(verdicts)
        ],
        usage=Usage(wall_seconds=0.25),
        environment=Environment(grader="0.1.0", engine="local"),
        seed="5eed",
        submission="s_1",
        judging="j_1",
        attempt=3,
        log="Traceback: ours alone",
    )


def test_json_is_the_report_and_nothing_else(report):
    """It decodes into the very report, save our own traceback."""
    written = json.loads(formats.write(report, Format.JSON))
    decoded = msgspec.convert(written, Report)
    assert decoded == msgspec.structs.replace(report, log="")
    assert next(iter(written)) == "schema"
    assert written["schema"] == "grader/report/1"


def test_junit_counts_and_places_failures(report):
    """One case for each test; wrong is a failure, our own fault an error; points are properties."""
    root = ET.fromstring(formats.write(report, Format.JUNIT))  # noqa: S314 - our own output
    assert root.attrib | {"tests": "3", "failures": "1", "errors": "1"} == root.attrib
    cases = root.findall("./testsuite/testcase")
    assert [len(case.findall("failure")) for case in cases] == [0, 1, 0]
    assert [len(case.findall("error")) for case in cases] == [0, 0, 1]
    points = [case.find("./properties/property[@name='points']") for case in cases]
    assert [each.attrib["value"] for each in points if each is not None] == ["2.5", "0", "0"]


def test_gradescope_gets_scores_and_states(report):
    """The score is the sum, each test has its own, and titles are what a student reads."""
    result = json.loads(formats.write(report, Format.GRADESCOPE))
    assert result["score"] == 2.5
    assert [test["status"] for test in result["tests"]] == ["passed", "failed", "failed"]
    assert [test["score"] for test in result["tests"]] == [2.5, 0, 0]
    assert result["tests"][0]["name"] == "Title 0."


def test_gradescope_gets_no_score_for_our_own_fault(report):
    """Without a score Gradescope grades nobody, which is right where we failed."""
    ours = msgspec.structs.replace(report, verdict=Verdict.INTERNAL_ERROR)
    assert "score" not in json.loads(formats.write(ours, Format.GRADESCOPE))


def test_concise_has_one_line_for_each_test_that_failed(report):
    """Verdict and score come first; passed tests are left out."""
    lines = formats.write(report, Format.CONCISE).split("\n")
    assert lines[0] == "softmax: wrong_answer: 2.5 of 8 points"
    assert [line.split(":")[1].strip() for line in lines[1:]] == ["test_1", "test_2"]


@pytest.mark.parametrize("form", [each for each in Format if each is not Format.FULL])
def test_no_control_character_survives(report, form):
    """Escape, bell, NUL, carriage return, bidi and zero-width characters come out written as text."""
    written = formats.write(report, form)
    assert not set(HOSTILE) & set(written) - set("[31m<b>]&evil")
    assert "1b" in written


SPEED = reports.Speed(
    call="softmax",
    outcome="within",
    pairs=8,
    sizes=[128, 1024],
    seconds=[0.0003, 0.02],
    reference_seconds=[0.0002, 0.01],
    overhead_seconds=[0.0001, 0.002],
    ratio=2.0,
    ratio_interval=(1.9, 2.1),
    ratio_limit=24.0,
    exponent=2.02,
    exponent_interval=(1.9, 2.1),
    exponent_limit=2.7,
    reference_memory_mib=2.75,
    memory_limit=8.0,
    memory_mib=97.0,
)


def test_what_was_timed_is_told_in_a_line(report):
    """Concise, junit and gradescope say ratio, interval, limits, sizes and pairs; what decided nothing says so."""
    line = (
        "softmax: 2 times the reference's time (1.9 to 2.1; at most 24), growing like size^2.02 (at most size^2.7), "
        "within 8 times the reference's 2.75 MiB; sizes 128, 1,024, 8 pairs"
    )
    near = msgspec.structs.replace(SPEED, outcome="inconclusive", exponent_limit=None, memory_mib=None)
    tests = [msgspec.structs.replace(report.tests[0], speed=[SPEED, near]), *report.tests[1:]]
    report = msgspec.structs.replace(report, tests=tests)
    concise = formats.write(report, Format.CONCISE).splitlines()
    assert f"softmax: test_0: timed: {line}" in concise
    assert any(each.endswith("too near the limit to tell, so it counts in your favour") for each in concise)
    root = ET.fromstring(formats.write(report, Format.JUNIT))  # noqa: S314 - our own output
    assert next(each.attrib["value"] for each in root.iter("property") if each.attrib["name"] == "timed") == line
    assert line in json.loads(formats.write(report, Format.GRADESCOPE))["tests"][0]["output"]
    assert msgspec.convert(json.loads(formats.write(report, Format.JSON)), Report).tests[0].speed == [SPEED, near]


@pytest.mark.parametrize("marks", [pages._ASCII, pages._UNICODE])
def test_the_plot_puts_every_time_in_its_place(monkeypatch, marks):
    """A line a size; from left to right the reference, the submission and the limit; larger sizes further right."""
    monkeypatch.setattr(pages, "_marks", lambda: marks)
    *rows, legend = pages._plot(SPEED).splitlines()
    mine, _, theirs, _, limit, _, *_ = legend.split()
    assert [row.split()[0] for row in rows] == ["128", "1,024"]
    places = [[row.index(mark, 7) for mark in (theirs, mine, limit)] for row in rows]
    assert places == [sorted(each) for each in places]
    assert all(later > earlier for earlier, later in zip(*places, strict=True))
    assert "0.3 ms, reference 0.2 ms" in rows[0]


def test_safe_keeps_what_people_write():
    """Letters of any script, newline and tab stay as they are."""
    text = "softmax(∞) ≠ 0\n\tümlaut, 漢字, ∂L/∂W"
    assert formats.safe(text) == text
