"""Load a whole service on this machine as a class does: `make load`, or `python -m tests.bench.load --help`.

PostgreSQL, Redis, `grader serve` and `grader worker` are started as an operator starts them; then
students read an exercise, submit, ask every other second how far their judging is, read report and history, think, and
submit again. Printed are how long answers took, what failed, and how fast the queue went down. Exit code 1 where
a target is missed, or an accepted submission did not end with the verdict that it deserves.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from grader.server.access import SCOPES
from grader.store import Store, open_store
from grader.store.identity import Identity
from tests.server import live
from tests.store import cluster as databases
from tests.worker import broker as brokers

ROOT = Path(__file__).parents[2]
SOURCES = {
    "accepted": (ROOT / "docs/demo/right.py").read_text(encoding="utf-8"),
    "wrong_answer": (ROOT / "docs/demo/wrong.py").read_text(encoding="utf-8"),
}
TARGETS = {"submit": 150.0, "reads": 60.0}
"""The 95th percentile in milliseconds."""
POLL_SECONDS = 2.0
THINK_SECONDS = (15.0, 45.0)
PATIENCE_SECONDS = 600.0


class Student:
    """One connection, kept open, and what its owner does with it."""

    def __init__(self, port: int, token: str, seed: int) -> None:
        """Connect at the first request."""
        self._port = port
        self._token = token
        self._random = random.Random(seed)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.milliseconds: dict[str, list[float]] = collections.defaultdict(list)
        self.failures: list[str] = []
        self.expected: dict[str, str] = {}

    async def work(self, until: float) -> None:
        """Do what a student does, until that moment of the loop's clock."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._random.uniform(0.0, min(THINK_SECONDS[1], until - clock())))
        await self._ask("exercise", "GET", "/v1/exercises/softmax")
        while clock() < until:
            verdict = self._random.choice(list(SOURCES))
            source = f"{SOURCES[verdict]}\n# {self._random.random()}\n"
            sent = {"exercise": "softmax", "filename": "softmax.py", "source": source}
            accepted = await self._ask("submit", "POST", "/v1/submissions", sent)
            if accepted:
                self.expected[accepted["judging"]] = verdict
                judging: dict[str, str] | None = {"status": ""}
                while clock() < until and (judging is None or judging["status"] != "done"):
                    await asyncio.sleep(POLL_SECONDS)
                    judging = await self._ask("judging", "GET", f"/v1/judgings/{accepted['judging']}")
                if judging and judging["status"] == "done":
                    await self._ask("report", "GET", f"/v1/judgings/{accepted['judging']}/report")
                    await self._ask("history", "GET", "/v1/exercises/softmax/history")
                    await self._ask("leaderboard", "GET", "/v1/exercises/softmax/leaderboard")
            await asyncio.sleep(min(self._random.uniform(*THINK_SECONDS), max(0.0, until - clock())))

    async def _ask(self, kind: str, method: str, path: str, body: object = None) -> "dict[str, str] | None":
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            f"Idempotency-Key: {self._random.random()}\r\n\r\n"
        )
        started = time.perf_counter()
        try:
            status, answer = await self._exchange(head.encode() + content)
        except (OSError, EOFError) as error:
            self._streams = None
            self.failures.append(f"{kind}: {error!r}")
            return None
        self.milliseconds[kind].append((time.perf_counter() - started) * 1000)
        if status >= 400:
            self.failures.append(f"{kind}: {status} {answer.decode()}")
            return None
        found: dict[str, str] = json.loads(answer)
        return found

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        return int(head.split(" ", 2)[1]), await reader.readexactly(length)


@contextlib.contextmanager
def _worker(log: Path, concurrency: int) -> Iterator[None]:
    """Run a worker beside, once it takes messages; end it at the end."""
    command = [sys.executable, "-m", "grader", "worker", "--concurrency", str(concurrency)]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=file)
    try:
        while '"ready"' not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def _accounts(store: Store, students: int) -> list[str]:
    """Add so many accounts, and return a token of each."""
    identity = Identity(store)
    identity.add_organisation("main")
    tokens = []
    for number in range(students):
        name = f"student {number}"
        account = identity.add_account("main", name, role="learner", public_name=name)
        token, _ = identity.issue_token(account.id, label="load", scopes=SCOPES["learner"], seconds=86400.0, by=None)
        tokens.append(token)
    return tokens


async def _load(students: list[Student], seconds: float) -> None:
    until = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(student.work(until) for student in students))


def _drain(store: Store, judgings: list[str]) -> float:
    """Wait until all are judged; return how many seconds that took."""
    started = time.monotonic()
    while any(each.status != "done" for each in store.watch(judgings)):
        if time.monotonic() - started > PATIENCE_SECONDS:
            break
        time.sleep(0.5)
    return time.monotonic() - started


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def _tell_times(students: list[Student]) -> bool:
    """Print how long answers took and what failed; return whether the targets are met."""
    times: dict[str, list[float]] = collections.defaultdict(list)
    for student in students:
        for kind, found in student.milliseconds.items():
            times[kind] += found
            if kind != "submit":
                times["reads"] += found
    failures = [failure for student in students for failure in student.failures]
    _say(f"{'':12}{'requests':>9}{'failed':>8}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}{'worst':>8}  target p95")
    for kind, found in sorted(times.items()):
        failed = sum(failure.startswith(f"{kind}:") for failure in failures)
        shares = "".join(f"{_percentile(found, share):8.1f}" for share in (0.5, 0.95, 0.99, 1.0))
        target = f"{TARGETS[kind]:8.0f}" if kind in TARGETS else ""
        _say(f"{kind:12}{len(found):9}{failed:8}{shares}{target}")
    for failure, number in collections.Counter(failures).most_common(5):
        _say(f"failed {number} times: {failure}")
    slow = [kind for kind, target in TARGETS.items() if _percentile(times[kind], 0.95) > target]
    _say(f"targets: {'missed by ' + ', '.join(slow) if slow else 'met'}")
    return not (failures or slow)


def _tell_verdicts(students: list[Student], store: Store, seconds: float) -> bool:
    """Wait for the judges, print how fast they are; return whether each submission got the verdict it deserves."""
    expected = {judging: verdict for student in students for judging, verdict in student.expected.items()}
    before = sum(each.status == "done" for each in store.watch(list(expected)))
    drained = _drain(store, list(expected))
    ended = [each for each in store.watch(list(expected)) if each.status == "done"]
    waited = [(each.phases["claimed"] - each.phases["queued"]).total_seconds() for each in ended]
    judged = [(each.phases["judged"] - each.phases["claimed"]).total_seconds() for each in ended]
    _say(
        f"judged while they worked: {before} of {len(expected)}, {before / seconds:.2f} a second; "
        f"the rest in {drained:.0f} s, {(len(expected) - before) / max(drained, 1e-9):.2f} a second"
    )
    _say(f"a judging waited {_percentile(waited, 0.5):.1f} s (p50) and took {_percentile(judged, 0.5):.2f} s (p50)")
    right = sum(each.verdict == expected[each.judging] for each in ended)
    _say(f"the verdict that they deserve have {right} of {len(expected)}")
    return right == len(expected)


def main() -> int:
    """Run once; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--concurrency", type=int, default=os.cpu_count(), help="judgings at a time")
    parser.add_argument("--keep", action="store_true", help="print what the processes said")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.start() as cluster,
        brokers.start() as broker,
    ):
        log = Path(folder) / "log"
        url = cluster.url(cluster.create())
        os.environ |= {
            "GRADER_DATABASE_URL": url,
            "GRADER_BROKER_URL": broker.url,
            "GRADER_ENGINE": "bubblewrap",
            "GRADER_HOME": folder,
        }
        store = open_store(url)
        with (
            contextlib.closing(store),
            live.start() as server,
            _worker(log, chosen.concurrency),
        ):
            students = [
                Student(server.port, token, seed) for seed, token in enumerate(_accounts(store, chosen.students))
            ]
            asyncio.run(_load(students, chosen.seconds))
            _say(f"{chosen.students} students for {chosen.seconds:g} s, {chosen.concurrency} judgings at a time")
            met = _tell_times(students) & _tell_verdicts(students, store, chosen.seconds)
            if chosen.keep:
                _say(log.read_text(encoding="utf-8") + "".join(server.log))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
