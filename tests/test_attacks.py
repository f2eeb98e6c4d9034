"""The corpus: every file of tests/attacks is judged on every engine that isolates, gets its verdict and leaves nothing.

Each file is a whole submission. Its docstring says what it attempts, then, a line each:

    Id: A47              the row of the public taxonomy of attacks; B: our own; C: a control
    Exercise: softmax    one of the repository, or of tests/attacks/exercises
    Verdict: accepted    or several, `a or b (why not only one)`
    Tells: folders       it may show where the grader is installed (and why)
    Sent: EXPRESSION     what is sent where that is not the file itself (TEXT); for what no readable file can hold

An attack that looks for something raises LEAKED where it finds it, and otherwise answers right: so `accepted` means
that it found nothing. Rows of the taxonomy that no submission can try:

    A06            names that reach a command line: there is none, and no engine passes a word of a submission on
    A19, A20       how an operator runs judge and drivers
    A58            filling the queue: the interface and the store count
    A62, A84, A92 to A95     accelerators, which no sandbox has yet
    A69, A76       the clock runs before the first byte leaves; being quick is no offence
    A96 to A101    the interface over HTTP
    A103, A104     an author's files, and other programs' scanners
"""

import os
import re
import socket
import sys
import time
import unicodedata
from pathlib import Path

import docker
import pytest

from grader import exercise as exercises
from grader import gate, judge, owner
from grader.report import Report
from grader.verdict import UNJUDGED, Verdict
from tests.conftest import state
from worker import cgroup, channel
from worker import docker as worker_docker

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

ROOT = Path(__file__).parent.parent
ATTACKS = Path(__file__).parent / "attacks"
FILES = sorted(ATTACKS.glob("*.py"))
ENGINES = ("docker", "bubblewrap", "fork")
"""`fork`: bubblewrap, in forks of slots that one file after the other uses."""
CANARY = "corncrake"
CALLING_CARD = Path("/tmp/grader-was-here")
USERS = range(61184, 65520)
SECONDS = 5.0
TRIED = {
    *range(1, 6), *range(7, 19), 21, 23, 24, 25, 27, 31, *range(33, 39), 40, 41, 43, 45, 46, 47, 48, 49, 50, 52, 53, 54,
    56, 57, 60, 61, 63, 65, 66, 67, 72, 73, 75, 77, 78, 79, 80, 82, 83, 85, 87, 89, 90, 91, 102,
}  # fmt: skip


def field(text, name, default=""):
    """Return what a line of the docstring says."""
    found = re.search(rf"^{name}: (.+)$", text.split('"""')[1], re.MULTILINE)
    return found[1] if found else default


def sent(text):
    """Return the bytes to submit."""
    made = eval(field(text, "Sent", "TEXT"), {"TEXT": text})  # noqa: S307 - our own files
    return made.encode() if isinstance(made, str) else made


def load(name):
    """Load an exercise of the corpus, or of the repository."""
    own = ATTACKS / "exercises" / name
    return exercises.load_folder(own) if own.is_dir() else exercises.load(name)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Put a word into the judge's environment that must not come out, and a home for the store that stays empty."""
    monkeypatch.setenv("GRADER_CANARY", CANARY)
    monkeypatch.setenv("GRADER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GRADER_EXERCISES", raising=False)


@pytest.fixture(scope="module")
def daemon(sandbox_images):
    """Ask the Docker daemon directly; it has the images."""
    client = docker.APIClient(version="auto")
    yield client
    client.close()


@pytest.fixture
def judge_on(judged, forks):
    """Judge on an engine; after a fork, its slot must be fit for another."""

    def run(exercise, source, engine):
        if engine != "fork":
            return judged(exercise, source, engine=engine)
        process = forks.start(exercise)
        slots = process._asked.slots
        try:
            report = process.run(source, seed=judge.new_seed())
        finally:
            process.close()
        assert all(slot in forks._idle for slot in slots)  # for the next: it lives, and nothing is left in it
        return report

    return run


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_attack(path, engine, judge_on, daemon, tmp_path):
    """The verdict is the right one, nothing is told, nothing is left, and the next submission is judged as ever."""
    text = path.read_text(encoding="utf-8")
    exercise = load(field(text, "Exercise"))
    gate.preload(exercise, "bubblewrap" if engine == "fork" else engine)
    report = judge_on(exercise, sent(text), engine)
    wanted = field(text, "Verdict").partition(" (")[0].split(" or ")
    assert report.verdict in wanted, (report.message, [test.message for test in report.tests], report.log)
    assert report.log == ""
    seen = report.environment
    assert (seen.engine, seen.isolation) == (("bubblewrap", "fork") if engine == "fork" else (engine, "container"))
    assert told(report, exercise, folders=not field(text, "Tells")) == []
    limit = time.monotonic() + SECONDS
    while found := left(daemon):  # another test's sandbox may be coming or going
        assert time.monotonic() < limit, found
        time.sleep(0.05)
    assert not (tmp_path / "home").exists()
    control = load("double")
    again = judge_on(control, control.reference.read_bytes(), engine)
    assert again.verdict is Verdict.ACCEPTED, (again.message, [test.message for test in again.tests], again.log)


def told(report: Report, exercise, *, folders):
    """List what a report's texts say that they must not: hidden values, seeds, tests, the host, control characters."""
    texts = [report.message, report.printed]
    texts += [part for test in report.tests for part in (test.message, test.explanation)]
    shown = "\n".join(texts)
    secrets = ["LEAKED", CANARY, report.seed, "root:x:0"]
    secrets += [str(ROOT), str(Path.home()) + "/", sys.prefix] if folders else []
    secrets += ["918273", "183654", "275481"]  # how the inputs and answers of the small exercises begin
    if os.uname().release not in report.environment.platform:
        secrets.append(os.uname().release)
    tests = exercise.tests("hidden").read_text(encoding="utf-8")
    titles = {test.title for test in report.tests}
    secrets += [
        line.strip() for line in tests.splitlines() if len(line.strip()) > 30 and line.strip('" ') not in titles
    ]
    found = [secret for secret in secrets if secret in shown]
    found += re.findall(rf"\b{re.escape(socket.gethostname())}\b", shown)
    return found + [repr(char) for char in shown if char != "\n" and unicodedata.category(char) in ("Cc", "Cf")]


def left(daemon):
    """List what judgings that are over have left: containers, control groups, processes, mounts, files."""
    containers = daemon.containers(all=True, filters={"label": worker_docker.OWNER})
    dead = [each["Id"] for each in containers if owner.is_alive(each["Labels"][worker_docker.OWNER]) is False]
    running = [each["Id"] for each in containers if each["Id"] not in dead]
    place = cgroup.find()
    folders = (
        [group for parent in set(place.folders.values()) for group in parent.iterdir() if group.is_dir()]
        if place
        else []
    )
    groups = [str(group) for group in folders if owner.is_alive(group.name.rpartition(":")[0]) is False]
    held = [*running, *(group.name for group in folders if str(group) not in groups)]
    found = [f"container {each}" for each in dead] + [f"control group {each}" for each in groups]
    found += [f"folder {each}" for each in channel.orphans()]
    found += [f"process {pid}" for pid in sandboxed() if not belongs(pid, held)]
    others = [each["Id"] for each in daemon.containers() if worker_docker.OWNER not in each["Labels"]]
    found += [f"mount {place}" for place in mounts() - allowed_mounts(daemon, running + others)]
    return found + [str(CALLING_CARD)] * CALLING_CARD.exists()


def sandboxed():
    """List the living processes that run as one of the users that sandboxes get."""
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid in USERS and state(int(entry.name)) not in ("Z", ""):
                yield int(entry.name)
        except FileNotFoundError:
            continue


def belongs(pid, held):
    """Tell whether a process is in a container or control group whose judge lives, or is gone."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return True
    return any(each in text for each in held)


def mounts():
    """Return the mount points of containers that this machine shows; the daemon keeps one for its host's network."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    places = {place for place in (line.split()[4] for line in lines) if "/docker/" in place or "grader" in place}
    return places - {"/run/docker/netns/default"}


def allowed_mounts(daemon, running):
    """Return the mount points of the containers that still have to run."""
    allowed = set()
    for each in running:
        try:
            seen = daemon.inspect_container(each)
        except docker.errors.NotFound:
            continue
        allowed |= {(seen["GraphDriver"]["Data"] or {}).get("MergedDir"), seen["NetworkSettings"]["SandboxKey"]}
        allowed |= {seen["NetworkSettings"]["SandboxKey"].replace("/var/run", "/run")}
        allowed |= {place for place in mounts() if each in place}
    return allowed


def test_every_row_is_tried():
    """Every row that a submission can try has a file, and at least 25 ideas are our own."""
    ids = {field(path.read_text(encoding="utf-8"), "Id") for path in FILES}
    assert {number for number in ids if number[0] == "A"} == {f"A{number:02}" for number in TRIED}
    assert len({number for number in ids if number[0] == "B"}) >= 25
    assert sum(number[0] == "C" for number in ids) >= 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_what_it_is(path):
    """First a sentence, then id, exercise and verdicts that exist; the file is called by its id."""
    text = path.read_text(encoding="utf-8")
    assert re.match(r'"""[A-Z][^\n]*\.\n\n', text)
    assert field(text, "Id").lower() == path.stem[:3] or field(text, "Id").lower() == path.stem.partition("_")[0]
    assert load(field(text, "Exercise"))
    verdicts, _, reason = field(text, "Verdict").partition(" (")
    assert set(verdicts.split(" or ")) <= {*Verdict} - {*UNJUDGED}
    assert bool(reason) or " or " not in verdicts
    assert len(sent(text)) > 0
