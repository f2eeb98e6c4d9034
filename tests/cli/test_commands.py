"""Every command that needs no judge, as a real process."""

import json
import os
import pty
import re
import resource
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from grader import exercise as exercises

ROOT = Path(__file__).parents[2]
COMMANDS = "list show start check submit cancel results history new verify rejudge explain version completion"

ESCAPE = "\x1b"


def seconds(command, environment):
    """Return the CPU time of a command, the best of five: others may be using the machine."""
    taken = []
    for _ in range(5):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, capture_output=True, check=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime)
    return min(taken)


@pytest.mark.parametrize("words", [None, "grader su"], ids=["help", "completion"])
def test_help_and_completion_are_quick(environment, words):
    """150 ms, on a machine where an empty Python takes up to 20 ms; in proportion on a slower or busier one."""
    if words is not None:
        environment |= {"_GRADER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "grader", "--help"]
    assert seconds(command, environment) < 0.15 * max(1, seconds([sys.executable, "-c", ""], environment) / 0.02)


def test_help_imports_nothing_slow(environment):
    """No NumPy, SQLAlchemy, pytest, nbformat or Rich for a text that stands in the source."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "grader", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"numpy", "torch", "sqlalchemy", "alembic", "pytest", "_pytest", "nbformat", "rich", "httpx2"}


def test_every_command_has_help(grader):
    """Each command of the interface is listed, and says what it does."""
    listed = grader("--help").stdout
    for name in COMMANDS.split():
        assert re.search(rf"^  {name} +[A-Z].*\.$", listed, re.MULTILINE), name
        assert grader(name, "--help").returncode == 0


def test_no_arguments_means_help(grader):
    """A person who types only `grader` wants to know what there is."""
    assert grader().stdout == grader("--help").stdout


def test_list_names_every_exercise(grader):
    """For people under their tracks, for programs as JSON with a schema."""
    assert set(exercises.names()) <= set(grader("list").stdout.split())
    listed = json.loads(grader("list", "--json").stdout)
    assert listed["schema"] == "grader/exercises/1"
    assert [each["name"] for each in listed["exercises"]] == exercises.names()


def test_a_malformed_exercise_does_not_hide_the_others(grader, tmp_path):
    """The list is there, the mistake with file and line on stderr, and the exit code is 2."""
    (tmp_path / "own" / "broken").mkdir(parents=True)
    (tmp_path / "own" / "broken" / "exercise.toml").write_text("title =\n")
    done = grader("list", GRADER_EXERCISES=str(tmp_path / "own"))
    assert "softmax" in done.stdout
    assert done.stderr.startswith("error[E2202]")
    assert "broken" in done.stderr
    assert done.returncode == 2


def test_show_prints_statement_interface_and_limits(grader):
    """A pipe gets the Markdown as it was written."""
    done = grader("show", "softmax")
    assert exercises.load("softmax").statement in done.stdout
    assert "softmax_backward(grad_output, output, axis=-1)" in done.stdout
    assert json.loads(grader("show", "softmax", "--json").stdout)["schema"] == "grader/exercise/1"


@pytest.mark.parametrize("command", ["show", "start", "check", "submit", "history", "verify"])
def test_an_unknown_exercise_suggests_the_nearest(grader, command):
    """Exit code 5, an E5 code, and the name that was meant."""
    extra = ["softmx.py"] if command in {"check", "submit"} else []
    done = grader(command, "softmx", *extra)
    assert done.returncode == 5
    assert done.stderr.startswith("error[E5101]")
    assert "`softmax`" in done.stderr
    assert done.stdout == ""


def test_start_writes_the_starter_and_says_what_next(grader, work):
    """The file is called like the exercise, as a module."""
    done = grader("start", "lstm-cell")
    assert done.stdout == "lstm_cell.py\n"
    assert (work / "lstm_cell.py").read_text() == exercises.load("lstm-cell").starter
    assert "grader check lstm_cell.py; grader submit lstm_cell.py" in done.stderr


def test_start_never_overwrites_without_force(grader, work):
    """What a student has written is kept; --force takes it away."""
    (work / "softmax.py").write_text("my work")
    done = grader("start", "softmax")
    assert done.returncode == 2
    assert "E2106" in done.stderr
    assert (work / "softmax.py").read_text() == "my work"
    assert grader("start", "softmax", "--force").returncode == 0
    assert (work / "softmax.py").read_text() == exercises.load("softmax").starter


def test_start_cannot_write_into_nowhere(grader):
    """A folder that does not exist is a usage error with a remedy."""
    done = grader("start", "softmax", "-o", "no/such/folder.py")
    assert done.returncode == 2
    assert "E2108" in done.stderr


def test_files_that_cannot_be_sent_are_usage_errors_and_store_nothing(grader, work, tmp_path):
    """Missing, a folder, over 16 MiB, no notebook: exit code 2, and no database comes to be."""
    (work / "folder.py").mkdir()
    (work / "huge.py").write_bytes(b"#" * (16 * 2**20 + 1))
    (work / "book.ipynb").write_text("{}")
    (work / "softmx.py").write_text("")
    cases = {"softmax.py": "E2102", "folder.py": "E2103", "huge.py": "E2105", "book.ipynb": "E2107", "a\nb.py": "E2102"}
    for file, code in cases.items():
        done = grader("submit", "softmax", file)
        assert (done.returncode, done.stderr[:12], done.stdout) == (2, f"error[{code}]", ""), file
    assert "softmx.py" in grader("submit", "softmax").stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_a_usage_error(grader, work):
    """Permissions are the caller's, so the exit code is 2."""
    (work / "softmax.py").touch(mode=0)
    done = grader("submit", "softmax")
    assert done.returncode == 2
    assert "E2104" in done.stderr


def test_usage_errors_have_a_code_and_a_hint(grader):
    """What is no command, no option, or one thing too many."""
    for arguments in (["nope"], ["list", "--nope"], ["submit"], ["submit", "softmax", "a.py", "b.py"], ["history"]):
        done = grader(*arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("error[E2101]: ")
        assert "hint: " in done.stderr


def test_a_file_that_names_no_exercise_says_so(grader, work):
    """`grader submit FILE` works where the file has the exercise's name."""
    (work / "lstm_cel.py").touch()
    done = grader("submit", "lstm_cel.py")
    assert done.returncode == 5
    assert "grader submit lstm-cell lstm_cel.py" in done.stderr


def test_nothing_submitted_is_told(grader):
    """Empty history is an answer; the report of nothing is not found."""
    assert grader("history", "softmax").stdout == "softmax: nothing was submitted yet\n"
    done = grader("results")
    assert done.returncode == 5
    assert "E5102" in done.stderr
    assert grader("results", "s_nosuch").returncode == 5


def test_explain_tells_cause_and_remedy(grader):
    """By code in any case, by verdict, all in a list; an unknown one is not found."""
    assert grader("explain", "e2103").stdout.startswith("E2103: ")
    assert "hint: " in grader("explain", "wrong_answer").stdout
    assert "E5101  " in grader("explain").stdout
    assert json.loads(grader("explain", "E2103", "--json").stdout)["explanations"].keys() == {"E2103"}
    assert grader("explain", "E9999").returncode == 5


def test_version_names_what_a_verdict_depends_on(grader):
    """Ours, Python's and the libraries'."""
    told = json.loads(grader("version", "--json").stdout)
    assert told["schema"] == "grader/version/1"
    assert {"grader", "python", "numpy", "torch", "pytest", "sqlalchemy"} <= told.keys()
    assert grader("--version").stdout == f"grader {told['grader']}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(grader, shell):
    """The script goes to stdout, the place it belongs to stderr."""
    done = grader("completion", shell)
    assert "_GRADER_COMPLETE" in done.stdout
    assert "completion" in done.stderr
    assert done.returncode == 0


def test_completion_knows_exercises_and_files(grader, work):
    """Where an exercise or a file can stand, both are offered."""
    (work / "some_file.py").touch()
    (work / "some_text.txt").touch()
    words = {"_GRADER_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    offered = [grader(COMP_WORDS=f"grader submit {start}", **words).stdout.split() for start in ("so", "lstm")]
    assert offered == [["softmax", "some_file.py"], ["lstm-cell"]]


@pytest.mark.parametrize(
    ("arguments", "changes", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_a_pipe_is_coloured_only_on_demand(grader, arguments, changes, coloured):
    """The flag wins over the environment, and a pipe is plain by itself."""
    assert (ESCAPE in grader("list", *arguments, **changes).stdout) is coloured


@pytest.mark.parametrize(("changes", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_is_coloured_unless_it_asks_not_to(environment, changes, coloured):
    """NO_COLOR and a dumb terminal are heeded."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "grader", "list"], stdout=side, stderr=side, env={**environment, **changes}
    )
    os.close(side)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 4096)
        except OSError:  # Linux says so when the last writer is gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    assert process.wait(10) == 0
    assert b"softmax" in shown
    assert (ESCAPE.encode() in shown) is coloured


def test_quiet_keeps_the_answer_and_drops_the_hints(grader):
    """Before and after the command alike."""
    for arguments in (["-q", "list"], ["list", "-q"]):
        done = grader(*arguments)
        assert done.stderr == ""
        assert "softmax" in done.stdout


def test_an_ascii_stream_is_no_reason_to_fail(grader):
    """What the encoding lacks is written escaped."""
    done = grader("show", "softmax", PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_a_closed_pipe_is_no_traceback(environment):
    """`grader list | head -0` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "grader", "list"], stdout=writer, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_a_failure_of_ours_has_exit_code_3_and_a_traceback_only_with_v(grader, tmp_path):
    """A database that is none is refused, left as it is, and explained."""
    (tmp_path / "home").mkdir()
    database = tmp_path / "home" / "grader.sqlite3"
    database.write_bytes(b"not a database" * 100)
    plain, verbose = grader("history", "softmax"), grader("history", "softmax", "-v")
    assert (plain.returncode, verbose.returncode) == (3, 3)
    assert plain.stderr.startswith("error[E3102]")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in verbose.stderr
    assert database.read_bytes() == b"not a database" * 100


def requirements(names):
    """Return the distributions of these names and all that they require, without extras."""
    found = {}
    while names:
        name = canonicalize_name(re.split(r"[ ;<>=!~\[]", names.pop())[0])
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        names += [each for each in found[name].requires or [] if "extra ==" not in each]
    return found.values()


@pytest.fixture
def thin(work, environment, tmp_path):
    """Run the command line with nothing installed but what a thin installation has."""
    site = tmp_path / "site"
    site.mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for distribution in requirements(list(project["dependencies"])):
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            (site / top).symlink_to(distribution.locate_file(top))
    (site / "grader").symlink_to(ROOT / "grader")
    (site / "exercises").symlink_to(ROOT / "exercises")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-S", "-m", "grader", *arguments],
            cwd=work,
            env={**environment, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("command", ["version", "explain", "list", "show softmax", "start softmax", "completion bash"])
def test_a_thin_installation_answers_what_needs_no_judge(thin, command):
    """Without the `judge` extra these work as ever."""
    done = thin(*command.split())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["submit softmax", "check softmax", "verify softmax", "results", "history softmax"])
def test_a_thin_installation_says_what_to_install(thin, work, command):
    """Judging says which extra is missing, as a usage error and not as a traceback."""
    (work / "softmax.py").touch()
    done = thin(*command.split())
    assert done.returncode == 2
    assert done.stderr.startswith("error[E2109]")
    assert 'pip install "grader[judge]"' in done.stderr
