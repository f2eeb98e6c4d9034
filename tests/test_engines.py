"""The same verdict, to the last word, on every engine; and the choice between them."""

import dataclasses
import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from grader import engine as engines
from grader import exercise as exercises
from grader import gate, judge
from grader.errors import OurFault, UsageError
from grader.verdict import Verdict
from tests.conftest import without_measures
from worker import bubblewrap

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
    pytest.mark.usefixtures("sandbox_images"),
]

ROOT = Path(__file__).parent.parent
SEED = "0123456789abcdef0123456789abcdef"
NAMES = sorted(path.parent.name for path in (ROOT / "exercises").glob("*/exercise.toml"))
WRONG = sorted((ROOT / "exercises").glob("*/wrong/*.py"))


def _bad_inputs():
    """Load the list of broken files beside this one."""
    spec = importlib.util.spec_from_file_location("bad_input", Path(__file__).with_name("test_bad_input.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BAD = _bad_inputs()
HUGE = "huge constant"


def alike(exercise, source, *isolating, forks=None):
    """Judge on local and these engines with one seed and compare all but usage and environment; returns the report.

    With `forks`, bubblewrap forks from its slots.
    """
    names = ("local", *isolating)
    gate.preload(exercise, *names)
    started = [forks.start(exercise) if forks and name == "bubblewrap" else None for name in names]
    processes = [each or judge.start(exercise, engine=name) for each, name in zip(started, names, strict=True)]
    reports = []
    for process in processes:
        try:
            reports.append(process.run(source, seed=SEED))
        finally:
            process.close()
    assert tuple(report.environment.engine for report in reports) == names
    bare = [without_measures(each, reports[0]) for each in reports]
    assert bare == bare[:1] * len(names)
    assert bare[0].verdict is not Verdict.INTERNAL_ERROR, bare[0].log
    return reports[0]


def patient(exercise):
    """Return the exercise with ten times the time: a slow file meets its limit on whichever engine has a bad moment."""
    limits = exercise.limits
    longer = {name: 10 * getattr(limits, name) for name in ("call_seconds", "judging_seconds")}
    toml = msgspec.structs.replace(exercise.toml, limits=msgspec.structs.replace(limits, **longer))
    return dataclasses.replace(exercise, toml=toml)


@pytest.mark.parametrize("name", NAMES)
def test_references_get_the_same_report(name):
    """Verdict, points and messages do not depend on where a submission runs."""
    exercise = exercises.load(name)
    assert alike(exercise, exercise.reference.read_bytes(), *engines.ISOLATING).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("number", range(len(WRONG)), ids=lambda number: "-".join(WRONG[number].parts[-3::2]))
def test_wrong_files_get_the_same_report(number, forks):
    """Nor do explanations: each on local and on one that isolates, by turns; and the tests that it names catch it."""
    path = WRONG[number]
    engine = engines.ISOLATING[number % len(engines.ISOLATING)]
    exercise = patient(exercises.load(path.parts[-3]))
    report = alike(exercise, path.read_bytes(), engine, forks=forks)
    caught = {test.name for test in report.tests if test.verdict is not Verdict.ACCEPTED}
    (wrong,) = [each for each in exercise.wrong if each.path == path]
    assert set(wrong.caught_by) <= caught


@pytest.mark.parametrize("engine", engines.ISOLATING)
def test_a_huge_constant_runs_out_of_something(make_exercise, engine):
    """Of time or memory, whichever the machine has less of; of nothing else."""
    report = judge.judge(make_exercise(), BAD.FILES[HUGE][0], engine=engine)
    assert report.verdict in (Verdict.TIME_LIMIT_EXCEEDED, Verdict.MEMORY_LIMIT_EXCEEDED, Verdict.IMPORT_ERROR)


@pytest.mark.parametrize("name", [*(name for name in BAD.FILES if name != HUGE), *BAD.INTERFACES, *BAD.ANSWERS])
def test_bad_input_gets_the_same_report(make_exercise, name):
    """Files that are none, lack the interface, or answer with the wrong kind of thing: the same words everywhere."""
    kind = "function"
    if name in BAD.FILES:
        source = BAD.FILES[name][0]
    elif name in BAD.INTERFACES:
        kind, text, _ = BAD.INTERFACES[name]
        source = text.encode()
    else:
        source = BAD.source("function", BAD.ANSWERS[name][0], on_import=False).encode()
    assert alike(make_exercise(kind), source, *engines.ISOLATING).verdict is not Verdict.ACCEPTED


@pytest.mark.parametrize("name", BAD.ENDS)
def test_a_call_that_breaks_the_sandbox_is_named(make_exercise, name):
    """What ends a process ends it in its own way on each engine; verdict and sentence are those of the list."""
    body, verdict, words, _, _ = BAD.ENDS[name]
    exercise = make_exercise()
    for engine in engines.ISOLATING:
        if (name, engine) == ("closes every descriptor and stays", "bubblewrap"):  # itself holds the other ends open
            verdict, words = "time_limit_exceeded", "did not return"
        report = judge.judge(exercise, BAD.source("function", body, on_import=False).encode(), engine=engine)
        assert report.verdict in BAD.verdicts(verdict), BAD.told(report)
        assert re.search(words, BAD.told(report)), (engine, BAD.told(report))


# --- which engine judges


def told(name, **options):
    """Choose an engine; returns its name and what the person was told."""
    said: list[str] = []
    return engines.choose(name, "numpy", said.append, **options).name, said


def test_auto_takes_docker_then_bubblewrap_then_local_with_a_warning(monkeypatch):
    """The first that works; where none isolates, a plain warning with the reasons."""
    assert told("auto") == ("docker", [])
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert told("auto") == ("bubblewrap", [])
    monkeypatch.setattr("worker.bubblewrap.BubblewrapEngine._checked", set())
    monkeypatch.setenv("PATH", "/nonexistent")
    name, said = told("auto")
    assert name == "local"
    assert "does NOT isolate" in said[0]
    assert "docker: the Docker daemon cannot be reached" in said[1]
    assert "bubblewrap: bubblewrap is missing" in said[1]


def refused(exercise, name, **options):
    """Return the error of a judging that cannot begin on this machine."""
    process = judge.start(exercise, engine=name, **options)
    try:
        with pytest.raises(OurFault) as caught:
            process.started()
    finally:
        process.close()
    return caught.value


def test_an_engine_that_was_named_is_never_replaced(make_exercise, monkeypatch):
    """Asked for docker, a machine without it judges nothing."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert refused(make_exercise(), "docker").code == "E4104"
    with pytest.raises(UsageError) as unknown:
        told("podman")
    assert unknown.value.code == "E2113"


def test_a_server_refuses_an_engine_that_does_not_isolate(monkeypatch):
    """Neither when it is named nor as what `auto` would fall back to."""
    with pytest.raises(UsageError) as caught:
        told("local", isolated=True)
    assert caught.value.code == "E2114"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.setattr("worker.bubblewrap.BubblewrapEngine._checked", set())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(OurFault) as nothing:
        told("auto", isolated=True)
    assert nothing.value.code == "E2114"


def test_a_server_wants_limits_on_the_whole_sandbox(make_exercise, monkeypatch):
    """Bubblewrap without a control group judges on one's own machine, with a note, and not where isolation is asked."""
    monkeypatch.setattr("worker.cgroup.find", lambda: None)
    exercise = make_exercise()
    assert judge.judge(exercise, exercise.reference.read_bytes(), engine="bubblewrap").environment.limits == "rlimits"
    assert refused(exercise, "bubblewrap", isolated=True).code == "E4112"


def test_a_sandbox_that_does_not_start_is_refused_with_the_reason(make_exercise, monkeypatch):
    """Nothing was begun: bubblewrap is not tried beforehand, but what it says when it fails is told."""
    options = (*bubblewrap._NAMESPACES, "--ro-bind", "/nonexistent", "/nonexistent")
    monkeypatch.setattr(bubblewrap, "_NAMESPACES", options)
    monkeypatch.setattr(bubblewrap.BubblewrapEngine, "_checked", set())
    error = refused(make_exercise(), "bubblewrap")
    assert error.code == "E4101"
    assert "source path /nonexistent" in error.cause


FORKED = """
import contextlib, os, sys
from pathlib import Path
from grader import judge
from grader.exercise import load_folder

mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(32)]

def again():
    for number in mine:
        with contextlib.suppress(OSError):
            os.close(number)
    for number in mine:
        os.open(os.devnull, os.O_RDONLY)

os.register_at_fork(after_in_child=again)
source = b"def double(x, factor=2.0):\\n    print('hello')\\n    return factor * x\\n"
report = judge.judge(load_folder(Path(sys.argv[1])), source, suite="public", engine=sys.argv[2])
print(report.verdict, report.printed.strip(), report.log)
"""


@pytest.mark.parametrize("engine", ["local", *engines.ISOLATING])
def test_a_library_that_opens_its_descriptors_anew_after_a_fork_costs_no_pipe(make_exercise, child, engine):
    """As libuv does: it closes numbers, whatever has come to them since. The submission's prints got lost."""
    process = child(FORKED, make_exercise().folder, engine)
    assert process.communicate()[0] == "accepted hello \n"


@pytest.mark.parametrize("engine", engines.ISOLATING)
def test_eight_judgings_at_once_do_not_disturb_each_other(make_exercise, engine):
    """Honest and hostile ones side by side: each gets the verdict it gets alone."""
    sources = {
        "accepted": "def double(x, factor=2.0):\n    return factor * x\n",
        "time_limit_exceeded": "def double(x, factor=2.0):\n    while True: pass\n",
        "memory_limit_exceeded": "import numpy as np\ndef double(x, factor=2.0):\n    return np.ones(1 << 28) * x[0]\n",
        "wrong_answer": "import os, time\ndef double(x, factor=2.0):\n    try:\n        while os.fork(): pass\n"
        "        time.sleep(60)\n    except OSError: pass\n    return x\n",
    }
    limits = "call_seconds = 5.0\njudging_seconds = 30.0"
    plain = make_exercise().folder.joinpath("exercise.toml").read_text(encoding="utf-8")
    patient = re.sub(r"call_seconds = .+\njudging_seconds = .+", limits, plain)
    exercise = make_exercise("function", {"exercise.toml": patient})
    wanted = [*sources, "accepted", "accepted", "accepted", "accepted"]
    processes = [judge.start(exercise, engine=engine) for _ in wanted]
    with ThreadPoolExecutor(len(wanted)) as pool:
        runs = [
            pool.submit(process.run, sources[verdict].encode(), seed=SEED)
            for process, verdict in zip(processes, wanted, strict=True)
        ]
        reports = [run.result() for run in runs]
    for process in processes:
        process.close()
    assert [report.verdict for report in reports] == wanted, [(report.message, report.log) for report in reports]
