"""A report as text: concise, json, junit, gradescope; `full`, for people, is `grader.cli.pages`.

A gradebook as text is `grader.exports`; the names of its formats stand here, where `--help` finds them quickly.
"""

import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

from grader.verdict import UNJUDGED, Verdict

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from grader.report import Report, Speed, TestReport

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Format(StrEnum):
    """How a report is written."""

    FULL = "full"
    CONCISE = "concise"
    JSON = "json"
    JUNIT = "junit"
    GRADESCOPE = "gradescope"


class BookFormat(StrEnum):
    """How a gradebook is written, by `grader.exports`."""

    CSV = "csv"
    CANVAS = "canvas"
    MOODLE = "moodle"
    NBGRADER = "nbgrader"
    GRADESCOPE = "gradescope"
    JUNIT = "junit"


def safe(text: str) -> str:
    r"""Return `text` with every control, direction and zero-width character written out, as `\x1b`.

    Only newline and tab stay. For whatever may come from a submission: it must not be able to move
    the cursor, colour or hide a line, or turn its direction.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _INVISIBLE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def number(value: float) -> str:
    """Write points as a person does: `2`, `2.5`, `0.33`."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def score(report: "Report") -> str:
    """Write the score: `14 of 20 points`."""
    return f"{number(report.score)} of {number(report.max_score)} points"


def overruled(report: "Report") -> str:
    """Say that staff have waived the policy, and why; nothing where they have not."""
    return f"policy overruled by {report.overruled.by}: {report.overruled.reason}" if report.overruled else ""


def timing(speed: "Speed") -> str:
    """Write in a line how long a call took beside the reference: ratio, interval, exponent, memory, sizes."""
    low, high = speed.ratio_interval
    said = f"{speed.call}: {speed.ratio:.3g} times the reference's time ({low:.3g} to {high:.3g}; at most "
    said += f"{speed.ratio_limit:g}), growing like size^{speed.exponent:.2f}"
    if speed.exponent_limit is not None:
        said += f" (at most size^{speed.exponent_limit:g})"
    if speed.memory_mib is not None:
        said += f", within {speed.memory_limit:g} times the reference's {speed.reference_memory_mib:.3g} MiB"
    said += f"; sizes {', '.join(f'{size:,}' for size in speed.sizes)}, {speed.pairs} pairs"
    if speed.impossible:
        said += "; less than the GPU can do it in, so a person is to look at it"
    if speed.outcome == "inconclusive":
        said += "; too near the limit to tell, so it counts in your favour"
    return said


def timings(test: "TestReport") -> list[str]:
    """Write a line for each call that a test timed."""
    return [timing(speed) for speed in test.speed]


def write(report: "Report", form: Format) -> str:
    """Write a report in any of the formats that programs read, without a final newline."""
    match form:
        case Format.JSON | Format.FULL:
            return as_json(report)
        case Format.CONCISE:
            return concise(report)
        case Format.JUNIT:
            return junit(report)
        case Format.GRADESCOPE:
            return gradescope(report)


def as_json(report: "Report") -> str:
    """Write the report as it is stored, as JSON of schema `grader/report/1`.

    Our own traceback (`log`) stays out: it is for staff, and `-v` shows it.
    """
    from msgspec.structs import replace  # noqa: PLC0415 - as below

    return to_json(replace(report, log=""))


def to_json(value: object) -> str:
    """Write JSON in ASCII: whatever a submission says, it can neither act on a terminal nor fail to encode."""
    import json  # noqa: PLC0415 - `--help` knows the formats' names, and needs to write none

    from msgspec import to_builtins  # noqa: PLC0415 - as above

    return json.dumps(to_builtins(value), indent=2)


def concise(report: "Report") -> str:
    """Write a line for the verdict, for each test that failed, unless the first says it all, and for each timing."""
    lines = [f"{report.exercise}: {report.verdict}: {score(report)}"]
    for text in filter(None, (overruled(report), report.message)):
        lines[0] += f": {_one_line(text)}"
    for test in report.tests:
        if test.verdict is not Verdict.ACCEPTED and (test.message or not report.message):
            told = ": ".join(filter(None, (test.message, test.explanation)))
            lines.append(f"{report.exercise}: {test.name}: {test.verdict}: {_one_line(told)}")
        lines += [f"{report.exercise}: {test.name}: timed: {_one_line(line)}" for line in timings(test)]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(safe(text).split())


def junit(report: "Report") -> str:
    """Write JUnit XML: one suite, a case for each test, points as properties.

    A test that is not accepted is a `failure`; one that we could not run is an `error`.
    """
    failed = [test for test in report.tests if test.verdict is not Verdict.ACCEPTED]
    errors = [test for test in failed if test.verdict is Verdict.INTERNAL_ERROR]
    counts = {
        "tests": str(len(report.tests)),
        "failures": str(len(failed) - len(errors)),
        "errors": str(len(errors)),
        "time": f"{report.usage.wall_seconds:.3f}",
    }
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - as above

    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": report.exercise, **counts})
    properties = ET.SubElement(suite, "properties")
    for name in ("verdict", "score", "max_score", "exercise_version", "seed", "submission", "judging"):
        ET.SubElement(properties, "property", {"name": name, "value": str(getattr(report, name))})
    for test in report.tests:
        _junit_case(suite, report, test)
    if text := "\n".join(filter(None, (overruled(report), report.message))):
        ET.SubElement(suite, "system-out").text = safe(text)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False)


def _junit_case(suite: "Element", report: "Report", test: "TestReport") -> None:
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - as above

    case = ET.SubElement(suite, "testcase", {"classname": report.exercise, "name": f"{test.name}: {safe(test.title)}"})
    properties = ET.SubElement(case, "properties")
    for name in ("points", "max_points"):
        ET.SubElement(properties, "property", {"name": name, "value": number(getattr(test, name))})
    for line in timings(test):
        ET.SubElement(properties, "property", {"name": "timed", "value": safe(line)})
    if test.verdict is not Verdict.ACCEPTED:
        kind = "error" if test.verdict is Verdict.INTERNAL_ERROR else "failure"
        told = safe("\n".join(filter(None, (test.message, test.explanation))))
        first = told.splitlines()[0] if told else str(test.verdict)
        ET.SubElement(case, kind, {"type": str(test.verdict), "message": first}).text = told


def gradescope(report: "Report") -> str:
    """Write Gradescope's `results.json`.

    Gradescope leaves a submission ungraded when there is no score; so does what was not judged.
    """
    unjudged = report.verdict in UNJUDGED
    result: dict[str, object] = {
        "execution_time": round(report.usage.wall_seconds, 3),
        "output": safe("\n".join(filter(None, (overruled(report), report.message))))
        or f"{report.exercise}: {report.verdict}",
        "output_format": "text",
        "stdout_visibility": "hidden",
        "visibility": "visible",
        "tests": [
            {
                "name": safe(test.title),
                "number": str(ordinal),
                "score": test.points,
                "max_score": test.max_points,
                "status": "passed" if test.verdict is Verdict.ACCEPTED else "failed",
                "output": safe("\n".join(filter(None, (test.message, test.explanation, *timings(test))))),
                "output_format": "text",
                "visibility": "visible",
                "extra_data": {"name": test.name, "verdict": test.verdict},
            }
            for ordinal, test in enumerate(report.tests, 1)
        ],
        "extra_data": {
            name: getattr(report, name)
            for name in ("exercise", "exercise_version", "verdict", "seed", "submission", "judging")
        },
    }
    if not unjudged:
        result["score"] = report.score
    return to_json(result)
