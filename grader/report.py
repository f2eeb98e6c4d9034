"""The report of one judging: what is stored, printed, and sent."""

import datetime as dt
from typing import Literal

import msgspec

from grader.verdict import Verdict

SCHEMA = "grader/report/1"


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """How long one call took beside the reference's, and how that was decided.

    Times are seconds of a call, medians over the pairs, without what it costs to cross into the sandbox and back; a
    list has one for each size. An interval holds the median with a confidence of 99 % (min and max of fewer than 8).
    """

    call: str
    outcome: Literal["within", "over", "inconclusive"]
    """`inconclusive`: too near the limit to tell; it counts in the submission's favour."""
    pairs: int
    sizes: list[int]
    seconds: list[float]
    reference_seconds: list[float]
    overhead_seconds: list[float]
    """What crossing costs, which the two lists before do not hold."""
    ratio: float
    ratio_interval: tuple[float, float]
    ratio_limit: float
    exponent: float
    """e, where the time grows like size**e."""
    exponent_interval: tuple[float, float]
    exponent_limit: float | None = None
    reference_memory_mib: float | None = None
    """What the reference needs at the largest size."""
    memory_limit: float | None = None
    """The multiple of it that the submission may take."""
    floor_seconds: float | None = None
    """What the largest size takes at least, by the peak of the GPU's memory and units."""
    impossible: bool = False
    """Whether it took less than that: a person is to look at it; no verdict follows."""
    memory_mib: float | None = None
    """The allowance of the sandbox that held it to that, with what crosses; None where it was not measured."""


class TestReport(msgspec.Struct, frozen=True, kw_only=True):
    """One hidden (or public) test: points are all or nothing, over all its drawn cases."""

    name: str
    title: str
    verdict: Verdict
    points: float
    max_points: float
    message: str = ""
    explanation: str = ""
    speed: list[Speed] = []
    """What was timed in this test."""


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
    device: str = ""
    """The GPU's name, its driver and CUDA's version, where calls were made on one."""


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
    withheld: int = 0
    """How many tests are left out because their results are not disclosed to the learner (yet)."""
    printed: str = ""
    """Tail of what the student's file printed; filled for public examples only."""
    log: str = ""
    """Our own traceback when the verdict is internal_error; never shown to a student."""
