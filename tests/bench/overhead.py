"""What the service costs around a judging: `python -m tests.bench.overhead` on a machine that does nothing else.

One submission at a time goes over HTTP through a real API, PostgreSQL (which waits for its disk), Redis and a worker.
From each one's moments comes what every phase took; beside it the same file is judged by `grader.judge` alone, in a
process as warm as the worker. The overhead is the difference of the medians, in milliseconds.
"""

import http.client
import json
import socket
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from grader import exercise as exercises
from grader import gate, judge
from grader.exercise import Exercise
from tests.conftest import FUNCTION, RIGHT, write
from tests.store import cluster as databases
from tests.worker import broker as brokers
from tests.worker import chaos
from tests.worker import service_processes as processes

TIMES = 100
_WARMING = 5
_ALL = "received to stored"


def main() -> None:
    """Measure and print."""
    with databases.start() as cluster, brokers.start() as broker, tempfile.TemporaryDirectory() as folder:
        exercise = exercises.load_folder(write(Path(folder), FUNCTION))
        gate.preload(exercise)
        at = processes.Service(cluster.url(cluster.create()), broker, Path(folder))
        try:
            serviced, alone = _measure(at, exercise)
        finally:
            at.stop()
    for name in serviced[0]:
        _tell(name, [phases[name] for phases in serviced])
    _tell("judged alone", alone)
    overhead = statistics.median(phases[_ALL] for phases in serviced) - statistics.median(alone)
    sys.stdout.write(f"overhead: {overhead:.1f} ms\n")


def _measure(at: processes.Service, exercise: Exercise) -> tuple[list[dict[str, float]], list[float]]:
    """Return each submission's milliseconds by phase, and those of the same files judged alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    at.run("serve", "--port", str(port), GRADER_SUBMISSIONS_PER_MINUTE="100000")
    at.worker()
    at.until(lambda: "running on http" in at.log())
    head = {"Authorization": f"Bearer {chaos.token(at, 'ada')}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    serviced, alone = [], []
    for number in range(_WARMING + TIMES):
        source = RIGHT["function"] + f"# {number}\n".encode()
        alone.append(_alone(exercise, source))
        sent = {"exercise": exercise.name, "filename": "double.py", "source": source.decode()}
        connection.request("POST", "/v1/submissions", json.dumps(sent), head)
        judging = json.loads(connection.getresponse().read())["judging"]
        time.sleep(2 * alone[-1] / 1000)  # whoever looks disturbs
        at.done(judging)
        moments = list(at.store.progress(judging).phases.items())
        phases = {name: 1000 * (moment - before).total_seconds() for (_, before), (name, moment) in pairwise(moments)}
        serviced.append(phases | {_ALL: sum(phases.values())})
    return serviced[_WARMING:], alone[_WARMING:]


def _alone(exercise: Exercise, source: bytes) -> float:
    """Return the milliseconds from the fork of a judge to its report."""
    started = time.perf_counter()
    process = judge.start(exercise, engine="bubblewrap", isolated=True)
    process.started()
    process.run(source, seed=judge.new_seed())
    seconds = time.perf_counter() - started
    process.close()
    return 1000 * seconds


def _tell(name: str, milliseconds: list[float]) -> None:
    high = statistics.quantiles(milliseconds, n=20)[-1]
    sys.stdout.write(f"{name:20} median {statistics.median(milliseconds):6.1f} ms, p95 {high:6.1f} ms\n")


if __name__ == "__main__":
    main()
