"""What each engine costs, beside a bare `docker run` of the same image: `make bench-engines`.

Every round (`--rounds`, up to two minutes each on two cores) measures everything once, in the same order, so that a
load on the machine falls on all alike: where it is busy, compare ratios and not milliseconds. Shown are the median, the
quartiles in brackets and, where it tells something, the ratio to the baseline. `--json` prints every figure instead;
`--cold` measures the first two lines alone, ten seconds a round. No speed limit is measured, which would take seconds.
The baseline is run by the client program `docker`, or by the SDK where there is none. The images must have been built.

    judging      softmax's reference, in a process that has loaded only `grader.judge`: to the report, to the end
    submit       `grader submit`, the whole command, with the database already made
    numpy, torch check, start, ready, close of one sandbox, and its transport: see parts.py
    8 at once    eight such judgings, against eight in a row
    beside loops one judging while seven others loop for ever, against alone; `sandbox CPU` is what it was charged
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from docker.errors import DockerException
from requests.exceptions import RequestException

from grader import exercise as exercises
from grader.engine import KINDS
from grader.errors import GraderError
from tests.bench import untimed
from worker import bubblewrap, build, docker

HERE = Path(__file__).parent
ENGINES = ("docker", "bubblewrap", "local")
TARGETS = {"docker": 1000.0, "bubblewrap": 500.0}
"""Milliseconds of a whole cold judging."""
BASELINE, JUDGING, SUBMIT = "docker run, import numpy", "judging, to the end", "grader submit"
IMPORT_NUMPY = ["python3", "-I", "-S", "-B", "-c", "import sys; sys.path.append('/sandbox/lib'); import numpy"]
CROWD = 8
_LIMIT_SECONDS = 180
_SMALL = 10.0


@dataclass(frozen=True)
class Row:
    """One figure of the table: what was measured, on which engine; `ratio` to the baseline, `target` in ms."""

    name: str
    engine: str
    median: float
    low: float
    high: float
    ratio: float | None
    target: float | None


Samples = dict[str, dict[str, list[float]]]
"""Of each row and engine one figure a round; milliseconds unless the row says otherwise."""


def main() -> int:
    """Measure and print; returns 1 where something failed to run, or a target is missed."""
    parser = argparse.ArgumentParser(description="Measure the engines.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cold", action="store_true", help="measure whole judgings by processes just started, no more")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples: Samples = defaultdict(lambda: defaultdict(list))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed grader is not compiled at every start
    try:
        seen = machine()
        with tempfile.TemporaryDirectory() as folder:
            name = untimed.write("softmax", Path(folder))
            submit(name, "local", folder)  # makes the database
            for number in range(options.rounds):
                sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
                for row, engine, figure in measure(name, folder, cold=options.cold):
                    samples[row][engine].append(figure)
    except (GraderError, OSError, subprocess.SubprocessError, DockerException, RequestException) as error:
        sys.stderr.write(f"failed: {error}\n{getattr(error, 'stderr', None) or ''}\n")
        return 1
    rows = summary(samples)
    if options.json:
        json.dump(
            {"machine": seen, "rounds": options.rounds, "rows": [asdict(row) for row in rows], "samples": samples},
            sys.stdout,
        )
    else:
        sys.stdout.write(table(seen, options.rounds, rows) + "\n")
    return int(any(row.target is not None and row.median >= row.target for row in rows))


def machine() -> dict[str, str]:
    """Describe what the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    client = docker.connect()
    try:
        version = client.version()["Version"]
    finally:
        client.close()
    return {
        "cpu": next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
        "docker": version,
        "bubblewrap": ".".join(map(str, bubblewrap.version())),
        "python": platform.python_version(),
    }


def measure(exercise: str, home: str, *, cold: bool) -> Iterator[tuple[str, str, float]]:
    """Measure everything once, or what is cold; yields row, engine and figure."""
    yield BASELINE, "docker", 1e3 * baseline()
    alone = {}
    for engine in ENGINES:
        reported, ended, charged = judging(engine)
        alone[engine] = ended, charged
        yield "judging, to the report", engine, 1e3 * reported
        yield JUDGING, engine, 1e3 * ended
    for engine in ENGINES:
        began = time.monotonic()
        submit(exercise, engine, home)
        yield SUBMIT, engine, 1e3 * (time.monotonic() - began)
    if cold:
        return
    for kind in KINDS:
        for engine in ENGINES:
            for part, figure in parts(engine, kind).items():
                yield f"{kind}: {part}{', MB/s' * (part == 'transport')}", engine, figure
    for engine in ENGINES:
        at_once, in_a_row = crowd(engine)
        yield "8 at once", engine, 1e3 * at_once
        yield "8 at once / 8 in a row", engine, at_once / in_a_row
    for engine in ENGINES:
        ended, charged = beside_loops(engine)
        yield "beside loops", engine, 1e3 * ended
        yield "beside loops / alone", engine, ended / alone[engine][0]
        yield "sandbox CPU, likewise", engine, charged / alone[engine][1]


def baseline() -> float:
    """Run a container that imports NumPy and return its seconds."""
    image = build.image_name("numpy")
    if program := shutil.which("docker"):
        began = time.monotonic()
        check([program, "run", "--rm", "--network", "none", image, *IMPORT_NUMPY])
        return time.monotonic() - began
    client = docker.connect()
    try:
        began = time.monotonic()
        container = client.create_container(image, IMPORT_NUMPY, host_config={"NetworkMode": "none"})["Id"]
        client.start(container)
        client.wait(container)
        client.remove_container(container)
        return time.monotonic() - began
    finally:
        client.close()


def judging(engine: str) -> list[float]:
    """Judge softmax's reference in a fresh process; returns what cold.py prints."""
    return numbers(check([sys.executable, str(HERE / "cold.py"), engine]))


def numbers(said: str) -> list[float]:
    """Read the last line of cold.py."""
    return [float(word) for word in said.splitlines()[-1].split()]


def parts(engine: str, kind: str) -> dict[str, float]:
    """Return what parts.py measures."""
    found: dict[str, float] = json.loads(check([sys.executable, str(HERE / "parts.py"), engine, kind]))
    return found


def crowd(engine: str) -> tuple[float, float]:
    """Return the seconds of eight cold judgings at once, and of eight in a row."""
    began = time.monotonic()
    running = [begin(engine) for _ in range(CROWD)]
    for process in running:
        finish(process)
    at_once = time.monotonic() - began
    began = time.monotonic()
    for _ in range(CROWD):
        judging(engine)
    return at_once, time.monotonic() - began


def beside_loops(engine: str) -> tuple[float, float]:
    """Judge the reference while seven others loop; returns its seconds, and the processor's it was charged."""
    loops: list[subprocess.Popen[str]] = []
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write("while True: pass\n")
        file.flush()
        try:
            loops += [begin(engine, file.name) for _ in range(CROWD - 1)]
            for loop in loops:
                assert loop.stdout is not None
                loop.stdout.readline()  # `importing`
            time.sleep(1.0)  # until the libraries in the sandboxes are loaded, and they do nothing but loop
            _, ended, charged = judging(engine)
        finally:
            for loop in loops:
                loop.terminate()
            for loop in loops:
                loop.communicate(timeout=_LIMIT_SECONDS)
    return ended, charged


def begin(engine: str, *file: str) -> "subprocess.Popen[str]":
    """Start cold.py."""
    command = [sys.executable, str(HERE / "cold.py"), engine, *file]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> None:
    """Wait for a process; raises CalledProcessError where it failed."""
    out, err = process.communicate(timeout=_LIMIT_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, out, err)


def submit(exercise: str, engine: str, home: str) -> None:
    """Submit softmax's reference for an exercise in `home`, where the database is too."""
    command = [sys.executable, "-m", "grader", "submit", exercise, reference(), "-q", "--engine", engine]
    check(command, GRADER_HOME=home, GRADER_EXERCISES=f"{home}/exercises")


def check(command: list[str], **environment: str) -> str:
    """Run a program and return what it printed; raises CalledProcessError where it failed."""
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, check=True, env=env, text=True, timeout=_LIMIT_SECONDS).stdout


def reference() -> str:
    """Return the file that is judged."""
    return str(exercises.load("softmax").reference)


def summary(samples: Samples) -> list[Row]:
    """Return one row for each line and column of the table."""
    base = statistics.median(samples[BASELINE]["docker"])
    rows = []
    for name, engines in samples.items():
        for engine, taken in engines.items():
            figures = taken if len(taken) > 1 else taken * 2  # of one round there are no quartiles
            low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
            ratio = median / base if name in (BASELINE, JUDGING, SUBMIT) else None
            target = TARGETS.get(engine) if name == JUDGING else None
            rows.append(Row(name, engine, median, low, high, ratio, target))
    return rows


def table(seen: dict[str, str], rounds: int, rows: list[Row]) -> str:
    """Return a line for each row, with a column for each engine, and the targets."""
    lines = [", ".join(f"{name} {value}" for name, value in seen.items())]
    lines += [f"{rounds} rounds; milliseconds unless said otherwise: median [quartiles] ratio to the baseline", ""]
    lines += [_line("", dict(zip(ENGINES, ENGINES, strict=True)))]
    for name in dict.fromkeys(row.name for row in rows):
        lines.append(_line(name, {row.engine: cell(row) for row in rows if row.name == name}))
    lines.append("")
    for row in rows:
        if row.target is not None:
            met = "met" if row.median < row.target else "NOT met"
            lines.append(f"target for {JUDGING}, in {row.engine}: under {row.target:.0f} ms; {row.median:.0f}: {met}")
    return "\n".join(lines)


def _line(name: str, cells: dict[str, str]) -> str:
    return f"{name:<25}" + "".join(f"{cells.get(engine, ''):<25}" for engine in ENGINES).rstrip()


def cell(row: Row) -> str:
    """Return one figure as text."""
    places = 2 if row.median < _SMALL else 0
    ratio = "" if row.ratio is None else f" {row.ratio:.2f}x"
    return f"{row.median:.{places}f} [{row.low:.{places}f}, {row.high:.{places}f}]{ratio}"


if __name__ == "__main__":
    sys.exit(main())
