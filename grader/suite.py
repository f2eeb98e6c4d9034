"""Run an exercise's tests with pytest, in the judge's child process, and turn their outcomes into a report."""

import hashlib
import hmac
import platform
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader import __version__
from grader.cases import Cases, collect, declare_marks, run_pytest, tests
from grader.checkers import Disclosure, Margins
from grader.engine import Engine, Kind, Process
from grader.exercise import Exercise, Wrong
from grader.failures import Failures
from grader.harness import keep_freed_memory
from grader.job import Done, Job, Task
from grader.mistakes import choose, coinciding
from grader.oracle import Oracle, load_module
from grader.proxy import Submission
from grader.report import Environment, Report, Speed, TestReport, Usage
from grader.sandbox import Sandbox
from grader.session import Session
from grader.source import read_source
from grader.speed import Rival, Speedometer
from grader.verdict import Rejected, Verdict, worst

_MAX_PLAIN_MESSAGE = 300


@dataclass
class Outcome:
    """What became of one test function over all its cases."""

    name: str
    title: str
    points: float
    verdicts: list[Verdict] = field(default_factory=list)
    message: str = ""
    explanation: str = ""
    margins: tuple[float, float] = (0.0, float("inf"))
    speed: list[Speed] = field(default_factory=list)
    timed: bool = False
    """Whether it times calls, and so runs after all others."""

    @property
    def failed(self) -> bool:
        """Whether a case has failed, so that the others need not run."""
        return any(verdict is not Verdict.ACCEPTED for verdict in self.verdicts)

    def take_margins(self) -> None:
        """Keep the margins of the case that has just run, if they are the least so far."""
        passed, failed = self.margins
        self.margins = max(passed, Margins.largest_passed), min(failed, Margins.smallest_failed)

    def report(self) -> TestReport:
        """Return the test's line of the report."""
        verdict = worst(self.verdicts)
        return TestReport(
            name=self.name,
            title=self.title,
            verdict=verdict,
            points=self.points if verdict is Verdict.ACCEPTED else 0.0,
            max_points=self.points,
            message=self.message,
            explanation=self.explanation,
            speed=self.speed,
        )


def prepare(kind: Kind) -> None:
    """Import what the judge of an exercise of `kind` computes with."""
    if kind == "torch":
        import torch  # noqa: PLC0415 - only where the exercise needs it

        torch.set_num_threads(1)


def run(
    task: Task,
    engine: Engine,
    process: Process,
    sandbox: Sandbox,
    on_ready: Callable[[], None],
    receive: Callable[[], Job],
    on_phase: Callable[[str], None],
) -> tuple[Done, Callable[[], None]]:
    """Tell the sandbox its limits, collect the tests, wait for the job, judge it; return the report, and what is left.

    What is left ends the sandboxes, once the report is on its way; it raises OurFault where they cannot be ended.
    Raises OurFault before `on_ready` where the sandbox did not start, and nothing later.
    """
    exercise, suite = task
    session = Session(exercise, engine, Failures(exercise, disclose=suite == "public"))
    session.take(sandbox)
    on_ready()
    plugin = Plugin(exercise, suite, session, receive, on_phase)

    def end() -> None:
        try:
            plugin.close()
        finally:
            session.end()

    try:
        plugin.execute()
        session.close(leave=True)
        plugin.log += session.trouble
        usage = Usage(
            wall_seconds=round(time.monotonic() - plugin.started, 4),
            cpu_seconds=round(session.cpu_seconds, 4),
            peak_memory_mib=round(session.peak_memory_mib, 1),
            calls=session.calls,
            sandboxes=session.opened,
        )
        return plugin.done(usage, environment(engine.name, session.versions, process.confinement)), end
    except BaseException:
        end()
        raise


def environment(engine: str, versions: dict[str, str], confinement: dict[str, str]) -> Environment:
    """Describe what the verdict depends on."""
    return Environment(
        grader=__version__,
        engine=engine,
        image=confinement.get("image", ""),
        isolation=confinement.get("isolation", ""),
        limits=confinement.get("limits", ""),
        python=versions.get("python", ""),
        numpy=versions.get("numpy", ""),
        torch=versions.get("torch", ""),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu(),
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return ""
    return ""


def generator(job: Job, exercise: Exercise, case: str) -> np.random.Generator:
    """Return the random numbers of one test case: keyed by our secret, the judging's seed, and the case."""
    message = f"{job.seed}\0{exercise.name}\0{case}".encode()
    digest = hmac.digest(job.secret, message, hashlib.sha256)
    key: Any = _Key(digest[:16])
    return np.random.Generator(np.random.Philox(key))


class _Key(np.random.bit_generator.ISeedSequence):
    """A key for Philox; `Philox(key=...)` asks the system for random numbers besides, and takes four times as long."""

    def __init__(self, key: bytes) -> None:
        self._key = np.frombuffer(key, "<u8")

    def generate_state(self, _words: int, _dtype: object = np.uint32) -> np.ndarray:
        """Return the key (2,) uint64."""
        return self._key


class Plugin:
    """The only pytest plugin in the judge: fixtures, points, and what became of each test."""

    def __init__(
        self,
        exercise: Exercise,
        suite: str,
        session: Session,
        receive: Callable[[], Job],
        on_phase: Callable[[str], None],
    ) -> None:
        """Know the tests the suite must have before pytest is asked."""
        self.exercise = exercise
        self.suite = suite
        Disclosure.values = suite == "public"
        self.session = session
        self.receive = receive
        self.on_phase = on_phase
        self.job = Job(b"", "", b"", [])
        self.started = 0.0
        self.refused: Rejected | None = None
        self.log = ""
        self.outcomes: dict[str, Outcome] = {}
        self.candidates: dict[str, list[Wrong]] = {}
        self.misses: Counter[str] = Counter()
        self._module: Any = None
        self._rival: Rival | None = None
        for name, title, worth in tests(exercise, suite):
            self.outcomes[name] = Outcome(name, title, worth)

    def execute(self) -> None:
        """Run every case; only what this plugin has seen counts, never pytest's exit code."""
        keep_freed_memory()
        sys.dont_write_bytecode = True
        cases = collect(self.exercise, self.suite)
        if cases is not None:
            self._call(cases)
            return
        run_pytest(self.exercise.tests(self.suite), self)
        if not self.started:  # pytest failed before it had collected
            self.begin()

    def _call(self, cases: Cases) -> None:
        """Call the cases one after the other, as pytest would."""
        sys.modules[cases.module.__name__] = cases.module
        for case in cases:
            self.outcomes[case.test].timed |= "speed" in case.fixtures
        self.begin()
        if self.refused is not None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for case in sorted(cases, key=lambda case: self.outcomes[case.test].timed):
                outcome = self.outcomes[case.test]
                if self._leaves_out(outcome):
                    continue
                try:
                    given = {name: getattr(self, f"_{name}")(case.name) for name in case.fixtures}
                    case.function(**given, **case.params)
                except BaseException as error:  # noqa: BLE001 - as pytest does; what is not the submission's is ours
                    self._fail(outcome, error)
                else:
                    self._end(outcome)
                outcome.take_margins()

    def close(self) -> None:
        """End the sandbox of the reference, if there was one."""
        if self._rival is not None:
            self._rival.session.close()

    def begin(self) -> None:
        """Take the job and have the sandbox load the submission; only now does its time run."""
        self.job = self.receive()
        self.started = time.monotonic()
        self.session.words.places = self.job.places
        try:
            self.session.words.source = read_source(self.job.source)
            self.on_phase("importing your file")
            self.session.load()
        except Rejected as rejected:
            self.refused = rejected
        self.session.seconds = 0.0

    def done(self, usage: Usage, environment: Environment) -> Done:
        """Put the outcomes together; a test without one makes the judging our fault."""
        unusable = self.session.unusable
        policy = unusable is not None and unusable.verdict is Verdict.POLICY_VIOLATION
        if self.refused is None and unusable is not None and (policy or not self.session.opened):
            self.refused = unusable
        verdicts = []
        if self.refused is not None:
            verdicts.append(self.refused.verdict)
            for outcome in self.outcomes.values():
                outcome.verdicts = [self.refused.verdict]
                outcome.message = ""
            self.candidates.clear()
        if self.session.unusable is not None:
            verdicts.append(self.session.unusable.verdict)
        never = [outcome.name for outcome in self.outcomes.values() if not outcome.verdicts]
        if never or not self.outcomes:
            self.log += f"never run: {', '.join(never) or 'there is no test'}\n"
        if self.log:
            verdicts.append(Verdict.INTERNAL_ERROR)
        for name, explanation in choose(self.candidates).items():
            self.outcomes[name].explanation = explanation
        tests = [outcome.report() for outcome in self.outcomes.values()]
        verdict = worst([*verdicts, *(test.verdict for test in tests)])
        message = self.refused.message if self.refused is not None else ""
        if verdict is Verdict.INTERNAL_ERROR:
            message = "The grader failed; this is our fault and uses no attempt."
        forged = self.session.unusable is not None and self.session.unusable.verdict is Verdict.PROTOCOL_VIOLATION
        scored = not forged and verdict is not Verdict.INTERNAL_ERROR
        report = Report(
            exercise=self.exercise.name,
            exercise_version=self.exercise.version,
            suite=self.suite,
            verdict=verdict,
            score=sum(test.points for test in tests) if scored else 0.0,
            max_score=sum(test.max_points for test in tests),
            message=message or (self.session.unusable.message if forged and self.session.unusable else ""),
            tests=tests,
            usage=usage,
            environment=environment,
            seed=self.job.seed,
            printed=self.session.printed if self.session.words.disclose else "",
            log=self.log,
        )
        margins = {outcome.name: outcome.margins for outcome in self.outcomes.values()}
        return Done(report, margins, lost=bool(self.session.trouble))

    # --- what a case is called with

    def _submission(self, _case: str) -> Submission:
        self.session.begin()
        return Submission(self.session)

    def _reference(self, case: str) -> Oracle:
        if self._module is None:
            self._module = load_module(self.exercise.reference, f"_reference_{self.exercise.module}")
        return Oracle(self.exercise, self._module, generator(self.job, self.exercise, f"{case}\0near"))

    def _rng(self, case: str) -> np.random.Generator:
        return generator(self.job, self.exercise, case)

    def _speed(self, case: str) -> Callable[..., None]:
        self.session.begin()
        if not self.job.timed:
            return lambda *_args, **_kwargs: None
        order = generator(self.job, self.exercise, f"{case}\0order")
        speedometer = Speedometer(self.session, self.rival, order)
        speedometer.measured = self.outcomes[case.partition("[")[0]].speed
        return speedometer

    @pytest.fixture
    def submission(self, request: pytest.FixtureRequest) -> Submission:
        """Give the student's file, called in the sandbox."""
        return self._submission(request.node.name)

    @pytest.fixture
    def reference(self, request: pytest.FixtureRequest) -> Oracle:
        """Give the right answers."""
        return self._reference(request.node.name)

    @pytest.fixture
    def rng(self, request: pytest.FixtureRequest) -> np.random.Generator:
        """Give random numbers of this judging, this test and this case."""
        return self._rng(request.node.name)

    @pytest.fixture
    def speed(self, request: pytest.FixtureRequest) -> Callable[..., None]:
        """Time calls against the reference's."""
        return self._speed(request.node.name)

    def rival(self) -> Rival:
        """Return the reference in its sandbox, started at the first call."""
        if self._rival is None:
            self._rival = Rival(self.exercise, self.session.engine)
        return self._rival

    # --- hooks

    def pytest_configure(self, config: pytest.Config) -> None:
        """Declare our one mark; nobody reads pytest's tracebacks, so have the quickest."""
        config.option.tbstyle = "native"
        declare_marks(config)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Log a failure of pytest or of this plugin: it is our fault."""
        self.log += f"{excrepr}\n"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin once everything is ready; a file that cannot be imported leaves nothing to run."""
        self.begin()
        if self.refused is not None:
            session.items.clear()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put what times calls last, wherever it stands in the file."""
        for item in items:
            self._outcome(item).timed |= "speed" in getattr(item, "fixturenames", ())
        items.sort(key=lambda item: self._outcome(item).timed)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Log tests that cannot be collected: they are our fault."""
        if report.failed:
            self.log += f"{report.longrepr}\n"

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Leave out what need not run."""
        return True if self._leaves_out(self._outcome(item)) else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge what a test's setup, body and end did."""
        result = yield
        outcome = self._outcome(item)
        if call.excinfo is not None:
            self._fail(outcome, call.excinfo.value)
        elif call.when == "call":
            self._end(outcome)
        outcome.take_margins()
        return result

    # --- what becomes of a case

    def _leaves_out(self, outcome: Outcome) -> bool:
        """Tell whether a case is left out: those of a test that has failed, and everything when the time is up."""
        if outcome.failed:
            return True
        if outcome.timed and any(each.failed for each in self.outcomes.values() if not each.timed):
            outcome.verdicts.append(Verdict.WRONG_ANSWER)  # never worse than what else went wrong
            outcome.message = "Not measured: only right answers are timed."
            return True
        if self.session.out_of_time:
            outcome.verdicts.append(Verdict.TIME_LIMIT_EXCEEDED)
            seconds = self.exercise.limits.judging_seconds
            outcome.message = f"Not run: all tests together took longer than {seconds:g} seconds."
            return True
        if not outcome.verdicts:
            number = list(self.outcomes).index(outcome.name) + 1
            self.on_phase(f"test {number} of {len(self.outcomes)}")
        Margins.largest_passed, Margins.smallest_failed = 0.0, float("inf")
        return False

    def _end(self, outcome: Outcome) -> None:
        """Let a case that came to its end pass, unless the sandbox broke and the test swallowed that."""
        if self.session.incident is not None:
            self._fail(outcome, self.session.incident)
        else:
            outcome.verdicts.append(Verdict.ACCEPTED)

    def _outcome(self, item: pytest.Item) -> Outcome:
        return self.outcomes[getattr(item, "originalname", item.name)]

    def _fail(self, outcome: Outcome, error: BaseException) -> None:
        if isinstance(error, Rejected):
            verdict, message = error.verdict, error.message
        elif isinstance(error, AssertionError):
            text = str(error)
            shown = text if "\n" not in text and len(text) <= _MAX_PLAIN_MESSAGE else ""
            verdict, message = Verdict.WRONG_ANSWER, shown
        else:
            self.log += f"{outcome.name}:\n{''.join(traceback.format_exception(error))}\n"
            verdict, message = Verdict.INTERNAL_ERROR, ""
        outcome.verdicts.append(verdict)
        outcome.message = outcome.message or message
        if verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR) and self.suite == "hidden" and not self.log:
            self.candidates[outcome.name] = coinciding(self.exercise, self.session.transcript, self.misses)
