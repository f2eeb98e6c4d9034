"""Judge hundreds of submissions while everything is killed: `make chaos`, or `python -m tests.worker.chaos --help`.

A real API, workers, sweeps, PostgreSQL, Redis and sandboxes. Clients submit over HTTP, again and again under one
idempotency key until they are answered. Killed at random: the API, the sweeps, the workers, their children, judges,
sandboxes, Redis (which starts again) and its memory, the database's connections; messages come twice; a worker is
paused past its lease and woken. In the end every submission that was accepted has exactly one verdict, the right one,
and nothing is left: no row that waits, no lease, no process. Exit code 1 otherwise.

What is lost three times is given up, by design (`test_service.py` has that): so nothing is struck while a judging that
was lost twice is under way.
"""

import argparse
import collections
import contextlib
import ctypes
import http.client
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from grader.errors import UsageError
from grader.store import LOST_TRIES
from grader.store.identity import Identity
from grader.store.models import Judging, Submission
from tests.conftest import FUNCTION, RIGHT, living_children, write
from tests.store import cluster as databases
from tests.worker import broker as brokers
from tests.worker import service_processes as processes
from worker import cgroup

if TYPE_CHECKING:
    import subprocess

LEASE_SECONDS = 3.0
WORKERS = 2
CLIENTS = 4
PER_SECOND = 2.0
"""Submissions of all clients together, about as many as two cores judge."""
_PR_SET_CHILD_SUBREAPER = 36
_RIGHT = RIGHT["function"].decode()
_HEAD = "import os, time\n" + _RIGHT.replace("    return", "    {}\n    return")
SUBMISSIONS = (
    (6, _RIGHT, "accepted"),
    (4, "def double(x, factor=2.0):\n    return 3.0 * x\n", "wrong_answer"),
    (4, _HEAD.format("time.sleep(0.5)"), "accepted"),
    (1, _HEAD.format("time.sleep(600)"), "time_limit_exceeded"),
    (2, _HEAD.format("os._exit(0)"), "runtime_error"),
    (1, _HEAD.format("os.kill(os.getpid(), 9)"), "runtime_error"),
    (2, _HEAD.format("1 / 0"), "runtime_error"),
    (1, "def double(:\n", "import_error"),
)
"""How many of each, the source, and what it deserves."""
STRIKES = {
    "worker's child": 6, "sandbox": 5, "judge": 3, "worker": 2, "worker paused": 1, "sweep": 1, "API": 4,
    "Redis restarted": 1, "Redis flushed": 2, "connections cut": 3, "messages doubled": 3,
}  # fmt: skip
"""How often each, of their sum."""


class Service:
    """The processes of an operator, each started again when it has died."""

    def __init__(self, at: processes.Service) -> None:
        """Start all."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        concurrency = max(1, len(os.sched_getaffinity(0)) // WORKERS)
        self._at = at
        self._commands = {
            "API": ["serve", "--port", str(self.port)],
            **{f"sweep {number}": ["sweep", "--every", "1"] for number in range(2)},
            **{f"worker {number}": ["worker", "--concurrency", str(concurrency)] for number in range(WORKERS)},
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.mend()

    def mend(self) -> None:
        """Start what does not run."""
        settings = {
            "GRADER_LEASE_SECONDS": str(LEASE_SECONDS),
            "GRADER_SUBMISSIONS_PER_MINUTE": "100000",
            "GRADER_IN_FLIGHT": "1000",
        }
        for name, command in self._commands.items():
            if name not in self._running or self._running[name].poll() is not None:
                self._running[name] = self._at.run(*command, **settings)

    def of(self, kind: str) -> "list[subprocess.Popen[bytes]]":
        """Return the processes of a kind."""
        return [process for name, process in self._running.items() if name.startswith(kind)]

    def end(self) -> None:
        """Stop all, as an operator does."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(60)


class Clients:
    """Learners who submit over HTTP until they have an answer; `accepted` is what each judging deserves."""

    def __init__(self, at: processes.Service, port: int, submissions: int, seed: int) -> None:
        """Start to submit."""
        self._port = port
        self._seed = seed
        self._numbers = iter(range(submissions))
        self._tokens = [token(at, f"learner-{number}") for number in range(5 * CLIENTS)]
        self.accepted: dict[str, str] = {}
        self.wrong: list[str] = []
        self.repeated = 0
        self._threads = [threading.Thread(target=self._submit_all, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        """Whether any still submits."""
        return any(thread.is_alive() for thread in self._threads)

    def _submit_all(self) -> None:
        for number in self._numbers:
            dice = random.Random(f"{self._seed} {number}")
            kinds = [(source, verdict) for _, source, verdict in SUBMISSIONS]
            source, verdict = dice.choices(kinds, [share for share, _, _ in SUBMISSIONS])[0]
            sent = {"exercise": "double", "filename": "double.py", "source": f"{source}# {number}\n"}
            token = dice.choice(self._tokens)
            while (judging := self._submit(sent, token, str(number))) is None:
                self.repeated += 1
                time.sleep(0.2)
            self.accepted[judging] = verdict
            time.sleep(dice.expovariate(PER_SECOND / CLIENTS))

    def _submit(self, sent: dict[str, str], token: str, key: str) -> str | None:
        """Submit once; return the judging, None where no answer came or one that asks to try again."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
        with contextlib.closing(connection):
            try:
                connection.request("POST", "/v1/submissions", json.dumps(sent), head)
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                return None
        if answer.status == 202:
            return str(told["judging"])
        if answer.status != 503:
            self.wrong.append(f"submission {key} was answered {answer.status}: {told}")
        return None


def token(at: processes.Service, name: str) -> str:
    """Add a learner; return what lets them submit."""
    identity = Identity(at.store)
    with contextlib.suppress(UsageError):
        identity.add_organisation("school")
    account = identity.add_account("school", name, role="learner")
    scopes = frozenset({"submit"})
    return identity.issue_token(account.id, label="chaos", scopes=scopes, seconds=86400.0, by=None)[0]


class Chaos:
    """Strikes, and counts."""

    def __init__(
        self, at: processes.Service, service: Service, cluster: databases.Cluster, broker: brokers.Broker, seed: int
    ) -> None:
        """Strike nothing yet."""
        self._at = at
        self._service = service
        self._cluster = cluster
        self._broker = broker
        self._random = random.Random(seed)
        self._paused: tuple[float, list[int]] = (0.0, [])
        self.strikes: collections.Counter[str] = collections.Counter()

    def strike(self) -> None:
        """Kill something, unless a judging cannot bear it."""
        if time.monotonic() > self._paused[0]:
            self.wake()
        with self._at.store.transaction(writes=False) as session:
            judgings = session.execute(select(Judging.owner, Judging.lost).where(Judging.status != "done")).all()
        if any(lost >= LOST_TRIES - 1 for _, lost in judgings):
            return
        judging = [int(owner.split(":")[3]) for owner, _ in judgings if owner]
        kind = self._random.choices(list(STRIKES), list(STRIKES.values()))[0]
        if self._do(kind, judging):
            self.strikes[kind] += 1

    def wake(self) -> None:
        """Wake whom we paused."""
        for pid in self._paused[1]:
            processes.strike(pid, signal.SIGCONT)
        self._paused = (0.0, [])

    def _do(self, kind: str, judging: list[int]) -> bool:
        """Strike; False where nobody is there to be struck."""
        match kind:
            case "API" | "sweep" | "worker":
                self._random.choice(self._service.of(kind)).kill()
            case "worker paused" if not self._paused[1]:
                worker = self._random.choice(self._service.of("worker"))
                tree = [worker.pid, *processes.below(worker.pid)]
                for pid in tree:
                    processes.strike(pid, signal.SIGSTOP)
                self._paused = time.monotonic() + 2 * LEASE_SECONDS, tree
            case "worker's child" | "judge" | "sandbox" if judging:
                child = self._random.choice(judging)
                found = {"judge": processes.below(child)[:1], "sandbox": processes.sandboxes(child)}
                victims = found.get(kind, [child])
                for pid in victims:
                    processes.strike(pid, signal.SIGKILL)
                return bool(victims)
            case "Redis restarted":
                self._broker.kill()
                time.sleep(self._random.choice([0.0, 1.0]))
                self._broker.start()
            case "Redis flushed":
                self._broker.ask("FLUSHALL")
            case "connections cut":
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'grader'"
                self._cluster.run(cut)
            case "messages doubled":
                self._at.queue.send("cpu", 3)
            case _:
                return False
        return True


def _open(at: processes.Service) -> int:
    """Return how many judgings are not done."""
    with at.store.transaction(writes=False) as session:
        return session.scalar(select(func.count()).where(Judging.status != "done")) or 0


def _wrong(at: processes.Service, accepted: dict[str, str]) -> list[str]:
    """Return what is not as it must be."""
    found = [f"left in the database: {each}" for each in at.left()]
    with at.store.transaction(writes=False) as session:
        rows = session.scalars(select(Judging)).all()
        session.expunge_all()
        submissions = session.scalar(select(func.count()).select_from(Submission))
    if len(accepted) != submissions or {row.id for row in rows} != accepted.keys():
        found.append(f"{len(accepted)} accepted, {submissions} submissions stored, {len(rows)} judgings")
    for row in rows:
        if row.verdict != accepted.get(row.id):
            found.append(f"{row.id}: {row.verdict}, not {accepted.get(row.id)} (lost {row.lost})\n{row.log}")
            found += [line for line in at.log().splitlines() if row.id in line]
        if row.owner or row.lease_until:
            found.append(f"{row.id} is still held by {row.owner}")
    stored = collections.Counter(line["judging"] for line in at.lines("judged"))
    return found + [f"{judging} was stored {times} times" for judging, times in stored.items() if times > 1]


def _patient(toml: str) -> str:
    """Give honest submissions time on a machine that is busy with dying and starting."""
    for name, short, long in (("import", "1.0", "9.0"), ("call", "0.5", "3.0"), ("judging", "4.0", "12.0")):
        toml = toml.replace(f"{name}_seconds = {short}", f"{name}_seconds = {long}")
    return toml


def _is_postgresqls(pid: int, before: set[int]) -> bool:
    """Tell whether a process is the server's own, or has ended: one to vacuum comes and goes every minute.

    Of a connection that is kept, the other end is a process of ours, which is found.
    """
    name, parent = processes.name(pid), processes.parent(pid)
    return not parent or (name == "postgres" and parent in before)


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(prog="chaos", description="Kill everything; nothing may be lost.")
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    _say(f"chaos: {options.submissions} submissions, seed {options.seed}")
    # Every process that outlives its parent becomes a child of this one, and so cannot hide.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with databases.start() as cluster, brokers.start() as broker, tempfile.TemporaryDirectory() as folder:
        before = set(living_children())
        write(Path(folder), FUNCTION | {"exercise.toml": _patient(FUNCTION["exercise.toml"])})
        at = processes.Service(cluster.url(cluster.create()), broker, Path(folder))
        try:
            wrong = _run(at, cluster, broker, options.submissions, options.seed)
        finally:
            at.stop()
        left = [pid for pid in set(living_children()) - before - {broker.pid} if not _is_postgresqls(pid, before)]
        wrong += [f"process {pid} is left: {processes.name(pid)}" for pid in left]
        if (place := cgroup.find()) is not None:
            cgroup.remove_orphans(place)  # killed judges cannot; as `grader sandbox reap` does it
    _say("\n".join(["WRONG:", *wrong]) if wrong else "each has one verdict, the right one; nothing is left")
    return 1 if wrong else 0


def _run(
    at: processes.Service, cluster: databases.Cluster, broker: brokers.Broker, submissions: int, seed: int
) -> list[str]:
    """Submit and strike until all is judged; tell the counts, return what is wrong."""
    started = time.monotonic()
    service = Service(at)
    clients = Clients(at, service.port, submissions, seed)
    chaos = Chaos(at, service, cluster, broker, seed)
    dice = random.Random(seed)
    while (clients.busy or _open(at)) and time.monotonic() < started + 120.0 + 5.0 * submissions:
        # The last few are left alone, so that the end comes.
        if clients.busy or _open(at) > WORKERS:
            chaos.strike()
        time.sleep(dice.uniform(0.2, 1.5))
        service.mend()
    seconds = time.monotonic() - started
    chaos.wake()
    service.end()
    said = collections.Counter(line["message"] for line in at.lines() if str(line["logger"]).startswith("worker"))
    _say(f"accepted and judged in {seconds:.0f} s: {len(clients.accepted)}; sent again: {clients.repeated}")
    for title, counts in (
        ("verdicts", collections.Counter(clients.accepted.values())),
        ("struck", chaos.strikes),
        ("workers' log", said),
    ):
        _say(f"{title}: " + ", ".join(f"{number} {name}" for name, number in counts.most_common()))
    return clients.wrong + _wrong(at, clients.accepted)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
