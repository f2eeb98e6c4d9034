"""The report of one judging: what is stored, printed, and sent."""

import datetime as dt

import msgspec

from grader.verdict import Verdict

SCHEMA = "grader/report/1"


class TestReport(msgspec.Struct, frozen=True, kw_only=True):
    """One hidden (or public) test: points are all or nothing, over all its drawn cases."""

    name: str
    title: str
    verdict: Verdict
    points: float
    max_points: float
    message: str = ""
    explanation: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a judging spent, summed over its sandboxes."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    calls: int = 0
    sandboxes: int = 0


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the verdict depends on besides submission, exercise version and seed."""

    grader: str
    engine: str
    image: str = ""
    """Digest of the sandbox's image, where the engine has images."""
    isolation: str = ""
    """`container` or `fork` (of a slot); empty where the engine does not isolate."""
    limits: str = ""
    """What holds the sandbox to its limits: `cgroup v1`, `cgroup v2`, `rlimits`."""
    python: str = ""
    numpy: str = ""
    torch: str = ""
    platform: str = ""
    cpu: str = ""


class Overruled(msgspec.Struct, frozen=True, kw_only=True):
    """That the policy was waived: who of the staff said so, when, for what reason."""

    by: str
    reason: str
    at: dt.datetime


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict (the worst of the tests), score (their sum) and the evidence."""

    schema: str = SCHEMA
    exercise: str
    exercise_version: str
    suite: str = "hidden"
    verdict: Verdict
    score: float
    max_score: float
    message: str = ""
    tests: list[TestReport]
    usage: Usage
    environment: Environment
    seed: str
    submission: str = ""
    judging: str = ""
    attempt: int = 0
    overruled: Overruled | None = None
    printed: str = ""
    """Tail of what the student's file printed; filled for public examples only."""
    log: str = ""
    """Our own traceback when the verdict is internal_error; never shown to a student."""
