"""How long a right submission takes beside the reference: measured from outside, decided with an interval.

A pair is one fresh input put to both, one after the other, in sandboxes of the same kind: the submission in one, the
reference, as source, in another. Sizes come in random order, and so does who goes first. Every answer is compared, so
nothing is gained by answering early. Two clocks are the judge's:

    CPU     what the kernel counts for the sandbox from a call's beginning to the next one's: threads at work between
            calls, and processes, are paid for too
    WALL    from before the first byte of the question to after the last of the answer, less the time for which, as the
            kernel counts it, judge or sandbox were ready to run and something else had their core

From both goes what crossing costs: what the reference's calls with the same bytes took, less its own work, of which
its sandbox tells. From n pairs come n ratios to that work, at the largest size and of the slopes from the smallest to
it (which constant costs do not touch). CPU at the largest size counts; the slope where it is larger beyond doubt, and
WALL where it is far larger: who sleeps pays for it, and who has to wait for others does not. A busy machine moves WALL
by tens of percents, CPU by a few. What is put off until after the answer may be charged to the next call, of another
size: the ratio of whole rounds must keep to the limit too.

The interval of a median takes no distribution for granted: with the values in order, it lies between the k-th lowest
and the k-th highest unless fewer than k of n fair coins fall alike, so

    confidence = 1 - 2 P(Bin(n, 1/2) <= k - 1)

Source: H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed., 2003, section 7.1. The exponent e of time ~ size**e is
fitted in each round over all sizes, on logarithms, and judged by the median of the rounds in the same way.

An interval on one side of its limit decides; one that holds the limit asks for more pairs, up to the last of LOOKS or
SECONDS, and then counts in the submission's favour. There are few looks, and CONFIDENCE is high, since each is one
more chance to be wrong.

On a GPU, which has no CPU time to tell of, WALL counts. Sizes that fill it cannot cross: both draw their inputs on it,
from a seed that the question brings, and answer with sums that take every element of the result (`Accelerator.sketch`).
So the clock still stops with bytes that nobody has before the work is done, whatever stream or thread does it. Both
sandboxes use the same GPU, in turns; what a submission leaves running there to slow the reference down is found when
that is timed once more, alone. A GPU that was throttled or shared gives no verdict (grader/gpu.py), and what is faster
than its memory and its units can be is marked for a person to look at.
"""

import functools
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np

from grader import gpu as gpus
from grader.engine import Engine, Process
from grader.errors import OurFault
from grader.exercise import Exercise
from grader.failures import Failures
from grader.harness import FORM, SUMS
from grader.oracle import OracleError, dtype_name, is_tensor, to_numpy
from grader.proxy import Submission
from grader.report import Speed
from grader.session import Session
from grader.verdict import Rejected, Verdict
from grader.wire import Drawn

WALL, CPU = 0, 1
CONFIDENCE = 0.99
LOOKS = (16, 32, 64)
SECONDS = 3.0
"""After so long in both sandboxes, or five times as long in all, the rounds so far decide."""
_HOPELESS = {1: 5.0, 2: 3.0, 3: 2.0, 4: 1.5, 8: 1.3}
"""After so many rounds it is over the limit beyond doubt, if each one's ratio is over so many times the limit."""
_ASLEEP = 1.5
"""WALL counts where it is so many times CPU: a busy machine makes it longer than the kernel's count explains."""
_LEAST = 0.02
"""A time below this share of what crossing costs cannot be told from it."""
_PROCESSES = 2
"""Of ours on a GPU while calls are timed: the submission's and the reference's."""
_SLACK_MIB = 64
"""What a program may take by the way: modules that it imports, pages half filled, the stacks of a few threads."""
_LOST = {"float64": 2.0**-38, "float32": 2.0**-13, "float16": 2.0**-6, "bfloat16": 2.0**-4}
"""Largest error of a timed answer, relative to its row. The correctness tests have been hard; this tells work from
none, float64 from float32 (2**-24), and float32 from half precision (2**-11)."""
_SKETCHED = {8: 2.0**-38, 4: 2.0**-16, 2: 2.0**-5}
"""The like for an answer by sums, by the bytes of an element: its errors have signs drawn at random, and so largely
cancel: what is left tells float32 from TF32 (2**-11)."""
_SIGMAS = 6.0
_WAVES = 4.0
"""Radians for an element as large as the root mean square: far from what a linear formula could stand for."""
_ALONE = 7
_SLOWED = 1.03
"""A reference that is so much slower beside the submission than alone was slowed down by it."""
_CLOCKS = {
    "cpu": "_grader_clock = _grader_time.process_time\n",
    "cuda": """
def _grader_clock():
    _grader_sys.modules["torch"].cuda.synchronize()
    return _grader_time.perf_counter()
""",
}
_ASIDE = """

import sys as _grader_sys
import time as _grader_time

CLOCK
_grader_spent = [0.0, False]


def _grader_timed(function):
    def timed(*args, **kwargs):
        if _grader_spent[1]:
            return function(*args, **kwargs)
        began, _grader_spent[1] = _grader_clock(), True
        try:
            return function(*args, **kwargs)
        finally:
            _grader_spent[:] = _grader_spent[0] + _grader_clock() - began, False
    return timed


for _grader_owner, _grader_name in [
    (_grader_sys.modules["__main__"], "gradients"), *((_grader_sys.modules[__name__], name) for name in FUNCTIONS),
    *((globals()[cls], method) for cls, method in METHODS),
]:
    setattr(_grader_owner, _grader_name, _grader_timed(getattr(_grader_owner, _grader_name)))


def _grader_tell():
    spent, _grader_spent[0] = _grader_spent[0], 0.0
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return [spent, *(int(lines[name].split()[0]) / 1024 for name in ("VmSize", "VmPeak"))]
"""
"""What stands below the reference's source: it takes the time of its own work, and looks at its own memory."""

Outcome = Literal["within", "over", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """A median of `pairs` values, and the bounds that hold it with the wanted confidence."""

    low: float
    median: float
    high: float
    certain: bool
    """Whether there were enough values for that confidence; else the bounds are the least and the largest."""


def interval(values: Sequence[float] | np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Return the median and its interval from order statistics; see the module's docstring."""
    ordered = np.sort(values)
    count = len(ordered)
    k = _rank(count, confidence)
    median = float(ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return Interval(float(ordered[max(k, 1) - 1]), median, float(ordered[count - max(k, 1)]), k > 0)


@functools.cache
def _rank(count: int, confidence: float) -> int:
    """Return the largest k for which the k-th values from either end hold the median; 0 where none does."""
    tail, k = 0.0, 0
    while k <= count // 2:
        tail += math.comb(count, k) / 2**count
        if 1 - 2 * tail < confidence:
            break
        k += 1
    return k


def exponents(sizes: Sequence[float] | np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the exponent of each row of `times` (rounds, sizes): the least-squares slope on logarithms."""
    x = np.log(np.asarray(sizes, np.float64))
    x -= x.mean()
    slopes: np.ndarray = np.log(times) @ x / max(x @ x, 1e-9)  # of a single size: 0
    return slopes


@dataclass(frozen=True)
class Bounds:
    """What is allowed: times the reference's time, the exponent, times the reference's memory."""

    ratio: float
    growth: float = math.inf
    memory: float | None = None


@dataclass(frozen=True)
class Samples:
    """All rounds so far, in seconds.

    yours, reference: what each call took as the judge sees it (rounds, sizes, WALL and CPU). work: the part of the
    reference's calls that is its own work (rounds, sizes).
    """

    sizes: tuple[int, ...]
    yours: np.ndarray
    reference: np.ndarray
    work: np.ndarray

    @classmethod
    def of(cls, sizes: tuple[int, ...], rounds: Sequence[Any]) -> "Samples":
        """Put together what `Speedometer` found: (rounds, sizes, yours, reference and work, WALL and CPU)."""
        found = np.array(rounds)
        return cls(sizes, found[:, :, 0], found[:, :, 1], found[:, :, 2, 0])

    def overhead(self) -> np.ndarray:
        """Return what crossing costs at each size (sizes, WALL and CPU)."""
        return _medians(self.reference - self.work[..., None])

    def charged(self) -> np.ndarray:
        """Return what each call of the submission is charged (rounds, sizes, WALL and CPU)."""
        overhead = self.overhead()
        charge: np.ndarray = np.maximum(self.yours - overhead, _LEAST * overhead)
        return charge

    @property
    def counted(self) -> int:
        """Which of the two clocks counts at first: CPU where it is known."""
        return WALL if np.isnan(self.yours[..., CPU]).any() or np.isnan(self.reference[..., CPU]).any() else CPU

    def ratio(self) -> "Interval":
        """Return the ratio that counts, with its interval."""
        charged = self.charged()
        rise = np.maximum(self.work[:, -1] - self.work[:, 0], _LEAST * self.work[:, -1])
        counts = interval(charged[:, -1, self.counted] / self.work[:, -1])
        for clock, beyond in {self.counted: 1.0, WALL: _ASLEEP}.items():
            rises = charged[:, -1, clock] - charged[:, 0, clock]
            for ratios in (charged[:, -1, clock] / self.work[:, -1], rises / rise)[: len(self.sizes)]:
                other = interval(ratios)
                counts = other if other.low > beyond * counts.high else counts
        return counts

    def whole(self) -> "Interval":
        """Return the ratio of whole rounds: work put off until after the answer may be charged to another size."""
        return interval(self.charged()[..., self.counted].sum(axis=1) / self.work.sum(axis=1))

    def exponent(self) -> "Interval":
        """Return the exponent, with its interval."""
        return interval(exponents(self.sizes, self.charged()[..., self.counted]))


def _medians(times: np.ndarray) -> np.ndarray:
    """Return the medians of the columns; NaN where every value is NaN."""
    ordered = np.sort(times, axis=0)
    count = len(ordered)
    middle: np.ndarray = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    return middle


@dataclass(frozen=True)
class Decision:
    """What the samples say about the bounds; the ratio that counts and the exponent."""

    outcome: Outcome
    ratio: Interval
    exponent: Interval
    too_slow: bool = False
    """Whether it is the ratio that is over; else the exponent."""


def decide(samples: Samples, bounds: Bounds) -> Decision:
    """Decide by the intervals of the ratio and of the exponent."""
    ratio, whole, exponent = samples.ratio(), samples.whole(), samples.exponent()
    clearly = _HOPELESS.get(len(samples.work), 1.0 if ratio.certain else math.inf) * bounds.ratio
    if max(ratio.low, whole.low) > clearly:
        return Decision("over", ratio if ratio.low > clearly else whole, exponent, too_slow=True)
    if exponent.certain and exponent.low > bounds.growth:
        return Decision("over", ratio, exponent)
    held = ratio.certain and max(ratio.high, whole.high) <= bounds.ratio and exponent.high <= bounds.growth
    return Decision("within" if held else "inconclusive", ratio, exponent)


# --- the sandboxes


class Clocked:
    """A session whose calls are timed, as the judge sees them."""

    def __init__(self, session: Session) -> None:
        """Begin to count."""
        self.session = session
        self.seconds: dict[int, list[float]] = {}
        """The latest call of each size: WALL, less what the kernel counts as waiting for a core; CPU."""
        self.spent = 0.0
        self._size = 0
        self._idle = 0.0
        self._seen = self._cpu_time()

    def _cpu_time(self) -> float:
        return self.session.cpu_time() if self.session.exercise.device == "cpu" else math.nan

    def answer(self, trial: "Trial", size: int, given: Sequence[Any], sketch: "Sketch | None" = None) -> Any:
        """Return the answer to one call. Its processor time runs from before what is made for it, to the next call."""
        self.settle()
        self.seconds[size], self._idle, self._size = [0.0, self._idle], 0.0, size
        self.session.afresh()
        self.session.ask("your file", {"op": "echo"}, value=None)  # lets go of what was there before
        target = trial.target(self.session, given)
        self.session.took, self.session.sketch = 0.0, sketch
        try:
            answer = trial.call(target, *given)
        finally:
            self.session.sketch = None
        self.seconds[size][WALL] = self.session.took
        self.spent += self.session.took
        return answer

    def settle(self, *, over: bool = False) -> None:
        """Charge the latest call with the processor time since its beginning; `over`: what follows, the next one."""
        now = self._cpu_time()
        if self._size:
            self.seconds[self._size][CPU] += now - self._seen
        else:
            self._idle += now - self._seen
        self._seen = now
        self._size = 0 if over else self._size

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Charge nobody with the processor time of the requests within: for what is trusted."""
        self.settle()
        yield
        self._seen = self._cpu_time()


class Rival:
    """The reference, as source in a sandbox of its own: it answers, and says what it worked and how much it holds."""

    def __init__(self, exercise: Exercise, engine: Engine) -> None:
        """Start the sandbox; it gets ready while the judge does other things."""
        functions = [function.name for function in exercise.functions]
        methods = [(cls.name, method.name) for cls in exercise.classes for method in cls.methods]
        aside = _ASIDE.replace("FUNCTIONS", repr(functions)).replace("METHODS", repr(methods))
        aside = aside.replace("CLOCK", _CLOCKS[exercise.device])
        source = exercise.reference.read_text(encoding="utf-8") + aside
        self.session = Session(exercise, engine, Failures(exercise, source=source), timing=True)
        self.session.open()

    def begin(self) -> None:
        """Load the reference, unless that was done."""
        self.session.begin()
        self.clocked = Clocked(self.session)

    def answer(
        self, trial: "Trial", size: int, given: Sequence[Any], sketch: "Sketch | None" = None
    ) -> tuple[Any, float]:
        """Return the answer and the seconds of work; whatever fails here is our fault."""
        try:
            with self.clocked.aside():
                self.tell()
            answer = self.clocked.answer(trial, size, given, sketch)
            with self.clocked.aside():
                return answer, self.tell()[0]
        except Rejected as rejected:
            raise OracleError(f"the reference cannot be timed: {rejected.message}") from rejected

    def tell(self) -> tuple[float, float, float]:
        """Return its seconds of work since the last time, and MiB of memory: now, and at most so far."""
        target = {"name": "_grader_tell"}
        spent, size, peak = self.session.ask("", {"op": "call", "target": target}, args=[], kwargs={})
        return spent, size, peak


# --- the measurement


@dataclass(frozen=True)
class Trial:
    """What is to be timed, and what is allowed."""

    name: str
    draw: Callable[[int], tuple[Any, ...]]
    sizes: tuple[int, ...]
    bounds: Bounds
    call: Callable[..., Any]
    make: Callable[..., Any] | None
    flops: Callable[[int], float] | None = None
    traffic: Callable[[int], float] | None = None

    def target(self, session: Session, given: Sequence[Any]) -> Any:
        """Return what is called: the submission, or what `make` makes of it."""
        module = Submission(session)
        return module if self.make is None else self.make(module, *given)


class Speedometer:
    """What a hidden test gets as `speed`: times one call against the reference, and rejects what is too slow."""

    def __init__(self, session: Session, rival: Callable[[], Rival], rng: np.random.Generator) -> None:
        """Time the file of `session`; `rng` draws orders."""
        self._session = session
        self._rival = rival
        self._rng = rng
        self.device = session.exercise.device
        self.measured: list[Speed] = []
        self._scales: dict[int, float] = {}

    def normal(self, *shape: int, dtype: str = "float32") -> Any:
        """Return a standard normal tensor, or the order to draw one where the call is made."""
        if self.device == "cuda":
            return Drawn(shape, dtype, int(self._rng.integers(2**31)))
        torch = sys.modules["torch"]
        return torch.from_numpy(self._rng.normal(size=shape)).to(getattr(torch, dtype))

    def mask(self, *shape: int, share: float = 0.5) -> Any:
        """Return a bool tensor, likewise, that is True with probability `share`."""
        if self.device == "cuda":
            return Drawn(shape, "bool", int(self._rng.integers(2**31)), share)
        return sys.modules["torch"].from_numpy(self._rng.random(size=shape) < share)

    def __call__(  # noqa: PLR0913 - each limit is an option of its own
        self,
        name: str,
        draw: Callable[[int], tuple[Any, ...]],
        *,
        sizes: Sequence[int],
        ratio: float,
        growth: float = math.inf,
        memory: float | None = None,
        call: Callable[..., Any] | None = None,
        make: Callable[..., Any] | None = None,
        flops: Callable[[int], float] | None = None,
        traffic: Callable[[int], float] | None = None,
    ) -> None:
        """Reject unless `name` keeps the limits at `sizes`, which rise; what was measured goes into the report.

        draw: the positional arguments for a size, fresh ones at each call. ratio, growth, memory: how many times the
        reference's time, which exponent, and how many times the reference's memory are allowed. call: for what is
        more than one call of the function `name`; it is given the module (or what `make` made of it, untimed) and the
        arguments, and returns what is to be compared. flops, traffic: the floating operations and the bytes to and from
        memory that nobody can do without at a size: a GPU's peak makes a floor of them. On a GPU no memory is measured.
        """
        sizes = tuple(sizes)
        if not sizes or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"sizes must rise: {sizes}")
        call = call or (lambda module, *given: getattr(module, name)(*given))
        memory = memory if self.device == "cpu" else None
        trial = Trial(name, draw, sizes, Bounds(ratio, growth, memory), call, make, flops, traffic)
        rival = self._rival()
        if self.device == "cuda":
            self._session.begin()  # it may have left for the call before
        try:
            self._session.timing = True
            with self._fit():
                self._time(trial, rival)
        finally:
            self._session.timing = False
            self._session.trouble += rival.session.trouble

    @contextmanager
    def _fit(self) -> Iterator[None]:
        """Let no time count from a GPU that was throttled, or that others used. Raises OurFault E4133."""
        gpu = self._session.engine.gpu if self.device == "cuda" else None
        if gpu is None:
            yield
            return
        before, rejected = gpus.state(gpu.board), None
        try:
            yield
        except Rejected as error:
            if error.verdict is not Verdict.TIME_LIMIT_EXCEEDED:
                raise
            rejected = error
        ours = _PROCESSES if gpu.id == gpu.board else sys.maxsize  # of a slice the driver does not tell
        if reason := gpus.unfit(before, gpus.state(gpu.board), ours):
            self._session.trouble += reason
            raise OurFault("E4133", "nothing can be timed on the GPU now", cause=reason, hint="see nvidia-smi")
        if rejected is not None:
            raise rejected

    def _time(self, trial: Trial, rival: Rival) -> None:
        capped = Capped(self._session, trial) if trial.bounds.memory is not None else None
        try:
            rival.begin()
            yours = Clocked(self._session) if capped is None else capped.open(rival, trial)
            samples = self._sample(trial, rival, yours, capped)
            if self.device == "cuda":
                samples = self._against_alone(trial, rival, samples)
        finally:
            if capped is not None:
                capped.close()
        decision = decide(samples, trial.bounds)
        need, allowed = (capped.need, capped.allowed) if capped is not None else (None, None)
        gpu = self._session.engine.gpu if self.device == "cuda" else None
        speed = _report(trial, samples, decision, need, allowed, gpus.floor(gpu, *_least(trial)) if gpu else None)
        self.measured.append(speed)
        if decision.outcome == "over":
            raise Rejected(too_slow(speed, decision), Verdict.TIME_LIMIT_EXCEEDED)

    def _sample(self, trial: Trial, rival: Rival, yours: Clocked, capped: "Capped | None") -> Samples:
        """Time rounds until they decide, or the time is up; the first one warms up, and only counts at the worst."""
        began = time.monotonic()
        rounds = [self._round(trial, rival, yours, capped)]
        while yours.spent + rival.clocked.spent < SECONDS and time.monotonic() - began < 5 * SECONDS:
            rounds.append(self._round(trial, rival, yours, capped))
            samples = Samples.of(trial.sizes, rounds[1:])
            count = len(samples.work)
            if count in LOOKS or count in _HOPELESS:
                outcome = decide(samples, trial.bounds).outcome
                if outcome == "over" or (outcome == "within" and count in LOOKS) or count == LOOKS[-1]:
                    return samples
        return Samples.of(trial.sizes, rounds[len(rounds) > LOOKS[0] :])

    def _against_alone(self, trial: Trial, rival: Rival, samples: Samples) -> Samples:
        """Time the reference once more, with the submission gone; what it had slowed down counts as it is alone."""
        self._session.retire()
        size = trial.sizes[-1]
        alone = [rival.answer(trial, size, trial.draw(size), self._sketch(size))[1] for _ in range(_ALONE + 1)][1:]
        slowed = float(np.median(samples.work[:, -1]) / max(np.median(alone), 1e-9))
        if slowed <= _SLOWED:
            return samples
        excess = samples.work * (1 - 1 / slowed)
        return replace(samples, work=samples.work - excess, reference=samples.reference - excess[..., None])

    def _sketch(self, size: int) -> "Sketch | None":
        """Return how answers are to be told at a size, under a new key; None where they cross as they are."""
        if self.device == "cpu":
            return None
        return int(self._rng.integers(2**31)), self._scales.get(size, 1.0)

    def _round(self, trial: Trial, rival: Rival, yours: Clocked, capped: "Capped | None") -> list[list[list[float]]]:
        """Put a fresh input of each size to both; returns for each size what both took, and the reference's work."""
        work: dict[int, float] = {}
        for size in self._rng.permutation(trial.sizes).tolist():
            given, sketch = trial.draw(size), self._sketch(size)
            if first := bool(self._rng.integers(2)):
                want, work[size] = rival.answer(trial, size, given, sketch)
            try:
                got = yours.answer(trial, size, given, sketch)
            except Rejected as rejected:
                raise (capped.explain(trial, size, given, rejected) if capped is not None else rejected) from rejected
            if not first:
                want, work[size] = rival.answer(trial, size, given, sketch)
            agree(got, want, f"{trial.name} at size {size:,}", None if sketch is None else sketch[1])
            if sketch is not None:
                self._scales[size] = _WAVES / max(_level(want), 1e-9)
        yours.settle(over=True)
        rival.clocked.settle(over=True)
        return [[yours.seconds[size], rival.clocked.seconds[size], [work[size]] * 2] for size in trial.sizes]


class Untimed:
    """What a hidden test gets as `speed` where nothing is to be timed."""

    def __init__(self, exercise: Exercise) -> None:
        """Know the device, by which tests choose sizes."""
        self.device = exercise.device

    def __call__(self, *_arguments: Any, **_options: Any) -> None:
        """Reject nothing."""


class Capped:
    """The submission in a fresh sandbox with little memory."""

    def __init__(self, session: Session, trial: Trial) -> None:
        """Start the process; how much memory it gets is told when the reference has said what it needs."""
        self._main = session
        self._times = trial.bounds.memory or 0.0
        self._process: Process | None = session.engine.start(session.exercise.kind, session.exercise.limits)
        self._session: Session | None = None
        self.need = self.allowed = 0.0

    def open(self, rival: Rival, trial: Trial) -> Clocked:
        """Allow so many times what the reference needs for the largest size, and load the file."""
        given = trial.draw(trial.sizes[-1])
        _, before, _ = rival.tell()
        rival.answer(trial, trial.sizes[-1], given)
        *_, peak = rival.tell()
        crossing = _bytes(given) / (1 << 20)
        self.need = max(peak - before - 2 * crossing, 0.0)  # as it came, and as it was built
        self.allowed = float(math.ceil(self._times * self.need + 4 * crossing + _SLACK_MIB))
        exercise = with_memory(self._main.exercise, int(self.allowed))
        words = replace(self._main.words, exercise=exercise)
        process, self._process = self._process, None
        self._session = Session(exercise, self._main.engine, words, timing=True)
        self._session.open(process)
        self._session.begin()
        return Clocked(self._session)

    def explain(self, trial: Trial, size: int, given: Sequence[Any], rejected: Rejected) -> Rejected:
        """Return why the call failed: for want of memory, where it succeeds in the sandbox that has more."""
        session = self._session
        if session is None or session.trouble or session.unusable or rejected.verdict is Verdict.TIME_LIMIT_EXCEEDED:
            return rejected
        Clocked(self._main).answer(trial, size, given)
        return Rejected(
            f"{trial.name} did not get by at size {size:,} on {self._times:g} times the memory that the reference "
            f"needs at size {trial.sizes[-1]:,}, {self.need:.2g} MiB. {MEMORY_HINT}",
            Verdict.MEMORY_LIMIT_EXCEEDED,
        )

    def close(self) -> None:
        """End the sandbox, or what was started and never used."""
        if self._session is not None:
            session, main = self._session, self._main
            session.close()
            main.unusable = main.unusable or session.unusable
            main.trouble += session.trouble
            main.opened += session.opened
            main.cpu_seconds += session.cpu_seconds
        if self._process is not None:
            self._process.kill()


def with_memory(exercise: Exercise, mib: int) -> Exercise:
    """Return the exercise with so much memory to a sandbox, or less if it has less."""
    limits = msgspec.structs.replace(exercise.limits, memory_mib=min(mib, exercise.limits.memory_mib))
    return replace(exercise, toml=msgspec.structs.replace(exercise.toml, limits=limits))


def _bytes(value: Any) -> int:
    """Return the bytes of the arrays in nested values."""
    if isinstance(value, list | tuple | dict):
        return sum(map(_bytes, value.values() if isinstance(value, dict) else value))
    return int(getattr(value, "nbytes", 0))


Sketch = tuple[int, float]
"""Key and scale of the sums that an answer is told by."""


def _level(want: Any) -> float:
    """Return the root mean square of the first tensor of an answer that is told by sums."""
    while isinstance(want, list | tuple) and want:
        want = want[0]
    return float(want[FORM]) if is_tensor(want) and len(want) > FORM else 0.0


def _least(trial: Trial) -> tuple[float, float]:
    """Return the operations and bytes that nobody can do without at the largest size."""
    largest = trial.sizes[-1]
    return trial.flops(largest) if trial.flops else 0.0, trial.traffic(largest) if trial.traffic else 0.0


def agree(got: Any, want: Any, where: str, scale: float | None = None) -> None:
    """Reject a timed answer that is not what the reference gives: quickly, and to fewer digits than a checker.

    With a `scale`, tensors are told by sums.
    """
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            raise Rejected(f"The answer of {where} has not the parts that it should have.")
        for mine, theirs in zip(got, want, strict=True):
            agree(mine, theirs, where, scale)
    elif isinstance(want, dict):
        if not isinstance(got, dict) or set(got) != set(want):
            raise Rejected(f"The answer of {where} has not the keys that it should have.")
        for key in want:
            agree(got[key], want[key], where, scale)
    elif scale is not None and is_tensor(want):
        if not _close_sums(got, want, scale):
            raise Rejected(f"The answer of {where}, where it was timed, is wrong.")
    elif want is not None and not isinstance(want, str) and not _close(got, want):
        raise Rejected(f"The answer of {where}, where it was timed, is wrong.")


def _close(got: Any, want: Any) -> bool:
    """Tell whether two arrays or numbers agree in form and to within `_LOST`."""
    if not isinstance(got, np.ndarray | np.generic | float | int) and not is_tensor(got):
        return False
    dtype = dtype_name(want) if hasattr(want, "dtype") else "float64"
    found, wanted = to_numpy(got), to_numpy(want)
    if found.shape != wanted.shape or (wanted.ndim and dtype_name(got) != dtype):
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(found, wanted))
    size = np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
    row = np.max(size, axis=-1, keepdims=True, initial=0.0) if wanted.ndim else size
    allowed = _LOST[dtype] * np.maximum(row, np.max(size, initial=0.0) / 128)
    with np.errstate(all="ignore"):
        near = (np.abs(found - wanted) <= allowed) | (found == wanted)
    return bool(np.all(near | (np.isnan(found) & np.isnan(wanted))))


def _close_sums(got: Any, want: Any, scale: float) -> bool:
    """Tell whether two tensors that are told by sums have one form, and agree."""
    if not is_tensor(got) or got.shape != want.shape or got.dtype != want.dtype:
        return False
    found, wanted = got.numpy(), want.numpy()
    size, bytes_, floating = wanted[:FORM]
    if not np.array_equal(found[:FORM], wanted[:FORM]):
        return False
    rounding = _SKETCHED[int(bytes_)] * scale * wanted[FORM] if floating else 2.0**-24
    allowed = _SIGMAS * rounding * math.sqrt(max(size / SUMS, 1.0))
    return bool(np.all(np.abs(found[FORM + 1 :] - wanted[FORM + 1 :]) <= allowed))


# --- words


LOOP_HINT = "The usual cause is a Python loop over the elements: let one operation work on a whole array."
GROWTH_HINT = "The usual cause is that every element meets every other one, where one pass would do."
MEMORY_HINT = "The usual cause is an array with an entry for each pair of elements, or many copies alive at once."


def too_slow(speed: Speed, decision: Decision) -> str:
    """Say how much too slow, against what, at which sizes, and what usually causes it."""
    sizes = ", ".join(f"{size:,}" for size in speed.sizes)
    if decision.too_slow:
        low, high = speed.ratio_interval
        return (
            f"{speed.call} took {speed.ratio:.3g} times as long as the reference ({low:.3g} to {high:.3g} times, in "
            f"{speed.pairs} pairs of calls at sizes {sizes}); {speed.ratio_limit:g} times would pass. {LOOP_HINT}"
        )
    return (
        f"The time of {speed.call} grows like size^{speed.exponent:.2f} over the sizes {sizes}; "
        f"size^{speed.exponent_limit:g} would pass. {GROWTH_HINT}"
    )


def _report(
    trial: Trial,
    samples: Samples,
    decision: Decision,
    need: float | None,
    allowed: float | None,
    floor: float | None = None,
) -> Speed:
    ratio, exponent = decision.ratio, decision.exponent
    seconds = _medians(samples.charged()[..., samples.counted])

    def told(times: np.ndarray) -> list[float]:
        return [float(f"{seconds:.3g}") for seconds in times]

    return Speed(
        call=trial.name,
        outcome=decision.outcome,
        pairs=len(samples.work),
        sizes=list(trial.sizes),
        seconds=told(seconds),
        reference_seconds=told(_medians(samples.work)),
        overhead_seconds=told(samples.overhead()[:, samples.counted]),
        ratio=round(ratio.median, 4),
        ratio_interval=(round(ratio.low, 4), round(ratio.high, 4)),
        ratio_limit=trial.bounds.ratio,
        exponent=round(exponent.median, 3),
        exponent_interval=(round(exponent.low, 3), round(exponent.high, 3)),
        exponent_limit=trial.bounds.growth if math.isfinite(trial.bounds.growth) else None,
        reference_memory_mib=None if need is None else round(need, 2),
        memory_limit=trial.bounds.memory,
        memory_mib=allowed,
        floor_seconds=floor,
        impossible=floor is not None and float(seconds[-1]) < floor,
    )
