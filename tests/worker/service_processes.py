"""The processes of a service, real ones, for tests and for the chaos: started, watched, killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

import grader
from grader import exercise as exercises
from grader import local
from grader.queue import Queue, sweep_once
from grader.store import open_store
from grader.store.models import Judging, Outbox, Outcome
from tests.worker.broker import Broker

PATIENCE_SECONDS = 120.0


class Service:
    """A store and a Redis, and workers that find both; its exercises lie in `folder`."""

    def __init__(self, database: str, broker: Broker, folder: Path) -> None:
        """Start nothing yet."""
        self.store = open_store(database)
        self.queue = Queue(broker.url)
        self.told: list[str] = []
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(Path(grader.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
            "GRADER_DATABASE_URL": database,
            "GRADER_BROKER_URL": broker.url,
            "GRADER_ENGINE": "bubblewrap",
            "GRADER_HOME": str(folder / "home"),
            "GRADER_EXERCISES": str(folder / "exercises"),
        }

    def run(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a command of the grader; what it says goes to the file that `log` reads."""
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "grader", *arguments],
                env=self._environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def worker(self, concurrency: int = 1, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker of the queue cpu, and wait until it takes messages."""
        ready = len(self.lines("ready"))
        worker = self.run("worker", "--concurrency", str(concurrency), **environment)
        self.until(lambda: len(self.lines("ready")) > ready or worker.poll() is not None)
        assert worker.poll() is None, self.log()
        return worker

    def log(self) -> str:
        """Return all that the processes have said."""
        path = self._folder / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def lines(self, message: str = "") -> list[dict[str, object]]:
        """Return the lines of workers' logs, or those with this message."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if not message or line["message"] == message]

    def add(
        self,
        source: bytes,
        learner: str = "ada",
        exercise: str = "double",
        priority: int = 0,
        key: str = "",
        *,
        ring: bool = True,
    ) -> str:
        """Submit, and send a message; returns the judging. With a key, what was submitted before is not again."""
        found = exercises.load_folder(self._folder / "exercises" / exercise)
        queued = self.store.add_submission(
            learner=learner,
            exercise=found.name,
            version=found.version,
            title=found.title,
            filename="double.py",
            source=source,
            seed="5eed" * 8,
            queue="cpu",
            priority=priority,
            key=key,
        )
        if ring:
            self.queue.send("cpu")
        return queued.judging

    def row(self, judging: str) -> Judging:
        """Return a judging as it is stored."""
        with self.store.transaction(writes=False) as session:
            row = session.get_one(Judging, judging)
            session.expunge(row)
            return row

    def holder(self, judging: str) -> int:
        """Wait until a worker's process has begun to judge; return its number."""
        self.until(lambda: "ready" in self.row(judging).phases)
        owner = self.row(judging).owner
        assert owner is not None
        return int(owner.split(":")[3])

    def sweep(self) -> None:
        """Sweep once."""
        sweep_once(self.store, self.queue, self.told.append)

    def until(self, condition: Callable[[], object], *, sweeping: bool = False) -> None:
        """Wait until something holds."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < limit, self.log()
            if sweeping:
                self.sweep()
            time.sleep(0.02)

    def done(self, *judgings: str, sweeping: bool = False) -> list[str]:
        """Wait until these are judged; return their verdicts."""
        self.until(lambda: all(self.row(each).status == "done" for each in judgings), sweeping=sweeping)
        return [self.row(each).verdict or "" for each in judgings]

    def left(self) -> list[str]:
        """Return what must not be left when nothing is under way: rows of the outbox, judgings that are not done."""
        with self.store.transaction(writes=False) as session:
            waiting = session.scalars(select(Outbox.judging_id)).all()
            held = session.scalars(select(Judging.id).where(Judging.status != "done")).all()
        return [*waiting, *held]

    def outcomes(self, judging: str) -> int:
        """Return how many tests' outcomes are stored."""
        with self.store.transaction(writes=False) as session:
            return len(session.scalars(select(Outcome.name).where(Outcome.judging_id == judging)).all())

    def stop(self) -> None:
        """Kill what still runs, whole process trees."""
        for process in self._started:
            for pid in [process.pid, *below(process.pid)]:
                strike(pid, signal.SIGKILL)
            process.wait()
        self.queue.close()
        self.store.close()


def below(pid: int) -> list[int]:
    """List the processes below one, parents before children."""
    return local._descendants(pid, ())


def strike(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def sandboxes(pid: int) -> list[int]:
    """List the processes of bubblewrap below one."""
    return [each for each in below(pid) if name(each) == "bwrap"]


def parent(pid: int) -> int:
    """Return the process that started a process; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def name(pid: int) -> str:
    """Return the name of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
