"""What `list`, `show`, `start`, `check`, `submit`, `watch`, `results`, `history` and `board` do.

Where a server is configured, exercises come from it, and it judges (`grader.cli.remote`); otherwise this machine does.
"""

import difflib
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from grader import config, notebook
from grader import exercise as exercises
from grader.cli import terminal
from grader.errors import ExerciseError, GraderError, NotFound, UsageError
from grader.exercise import Exercise
from grader.formats import Format, write
from grader.report import Report
from grader.verdict import Verdict

if TYPE_CHECKING:
    from grader.cli.remote import Remote
    from grader.records import Attempt

MAX_FILE_BYTES = 16 * 2**20
INTERRUPTED = 130
_NEEDED = {"numpy": "numpy", "pytest": "pytest", "sqlalchemy": "SQLAlchemy", "alembic": "alembic"}


class Catalogue(Protocol):
    """Where exercises come from: the module `grader.exercise`, or a server."""

    def names(self) -> list[str]:
        """Return the names of all."""

    def load(self, name: str) -> Exercise:
        """Return one; raises NotFound."""


def at_server(server: str) -> "AbstractContextManager[Remote | None]":
    """Return the server in force, logged in; None where this machine judges."""
    found = config.server(server)
    if found is None:
        return nullcontext()
    from grader.cli import remote  # noqa: PLC0415 - HTTP is slow to import

    return remote.connect(found)


def _catalogue(remote: "Remote | None") -> Catalogue:
    return remote or exercises


def list_exercises(server: str, *, json: bool) -> int:
    """Print all exercises; a malformed one is told on stderr and does not hide the others."""
    found: list[Exercise] = []
    bad = 0
    with at_server(server) as remote:
        if remote:
            found += remote.all()
        for name in [] if remote else exercises.names():
            try:
                found.append(exercises.load(name))
            except ExerciseError as error:
                terminal.complain(error)
                bad = error.exit_code
    if json:
        listed = [_as_dict(each) for each in found]
        terminal.answer_json({"schema": "grader/exercises/1", "exercises": listed})
    else:
        from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and JSON does without

        terminal.show(*pages.exercises_page(found))
        terminal.hint("grader show EXERCISE, then grader start EXERCISE")
    return bad


def show(name: str, server: str, *, json: bool) -> int:
    """Print an exercise's statement, interface and limits."""
    with at_server(server) as remote:
        return _show(_catalogue(remote).load(name), json=json)


def _show(exercise: Exercise, *, json: bool) -> int:
    if json:
        whole = {"statement": exercise.statement, "starter": exercise.starter}
        terminal.answer_json({"schema": "grader/exercise/1", **_as_dict(exercise), **whole})
    else:
        from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and JSON does without

        if sys.stdout.isatty():
            terminal.show(*pages.exercise_page(exercise))
        else:
            terminal.answer(exercise.statement)
            terminal.show(pages.interface_table(exercise))
        terminal.hint(f"grader start {exercise.name}")
    return 0


def _as_dict(exercise: Exercise) -> dict[str, object]:
    return {
        "name": exercise.name,
        "title": exercise.title,
        "track": exercise.track,
        "difficulty": exercise.difficulty,
        "kind": exercise.kind,
        "devices": exercise.devices,
        "version": exercise.version,
        "functions": exercise.functions,
        "classes": exercise.classes,
        "limits": exercise.limits,
    }


def start(name: str, output: Path | None, server: str, *, force: bool) -> int:
    """Write the starter, never over an existing file unless forced."""
    with at_server(server) as remote:
        exercise = _catalogue(remote).load(name)
        starter = exercise.starter
    path = output or Path(f"{exercise.module}.py")
    if path.is_dir():
        path /= f"{exercise.module}.py"
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(starter)
    except FileExistsError as error:
        raise UsageError(
            "E2106",
            f"{path} is there already; it was not changed",
            cause="a starter never overwrites your work",
            hint=f"grader start {name} --output OTHER.py, or --force to lose what is in it",
        ) from error
    except OSError as error:
        raise UsageError(
            "E2108", f"{path} cannot be written", cause=error.strerror or str(error), hint="choose another --output"
        ) from error
    terminal.answer(str(path))
    given = shlex.join([str(path)] if path.stem == exercise.module else [name, str(path)])
    terminal.hint(f"write it, then: grader check {given}; grader submit {given}")
    return 0


def check(targets: list[str], form: Format, engine: str, server: str, device: str = "") -> int:
    """Judge a file by the public examples, with what it printed; nothing is stored or sent."""
    with at_server(server) as remote:
        exercise, path = _exercise_and_file(targets, _catalogue(remote))
        return _check(exercise.on(device), path, targets, form, config.read(engine))


def _check(exercise: Exercise, path: Path, targets: list[str], form: Format, settings: config.Config) -> int:
    filename, source = _read(exercise, path)
    need_judge(exercise)
    from grader import judge  # noqa: PLC0415 - only a judge's installation has what it needs

    process = judge.start(exercise, suite="public", engine=settings.engine, isolated=settings.isolated)
    progress = terminal.Progress(f"check {exercise.name}")
    try:
        process.started(terminal.say)
        with progress:
            report = process.run(
                source,
                seed=judge.new_seed(),
                places=notebook.places(filename, source),
                on_phase=progress.phase,
            )
    finally:
        process.close()
    code = print_report(report, form)
    passed = sum(test.verdict is Verdict.ACCEPTED for test in report.tests)
    summary = f"public examples: {passed} of {len(report.tests)}; hidden tests were not run"
    if form is Format.FULL:
        terminal.answer(f"\n{summary}")
    else:
        terminal.say(summary)
    if code == 0:
        terminal.hint(f"grader submit {shlex.join(targets)}")
    return code


def submit(targets: list[str], form: Format, engine: str, server: str, seconds: float | None, device: str = "") -> int:
    """Store and judge a file, or have the server do so."""
    with at_server(server) as remote:
        if remote is None:
            return _submit_here(targets, form, config.read(engine), device)
        refuse_engine(engine)
        exercise, path = _exercise_and_file(targets, remote)
        filename, content = _read_raw(exercise, path)
        from grader.cli import remote as remotes  # noqa: PLC0415 - HTTP is slow to import

        sent = remotes.Sent(filename, content, exercise.on(device).device if device else "")
        code = print_remote(remote, partial(remote.submit, exercise.name, sent, config.read(), seconds), form)
    if code == 1:
        terminal.hint(f"grader check {shlex.join(targets)} shows the public examples and your prints")
    return code


def _submit_here(targets: list[str], form: Format, settings: config.Config, device: str) -> int:
    exercise, path = _exercise_and_file(targets, exercises)
    exercise = exercise.on(device)
    filename, source = _read(exercise, path)
    need_judge(exercise)
    from grader import embedded  # noqa: PLC0415 - only a judge's installation has what it needs

    progress = terminal.Progress(exercise.name)
    sent = embedded.Sent(filename, source)

    def on_phase(text: str) -> None:
        progress.phase(text)
        if form is Format.FULL and text.startswith("test "):
            importlib.import_module("grader.cli.pages")  # Rich loads while the judge is busy

    try:
        with progress:
            report = embedded.submit(exercise, sent, settings, say=terminal.say, on_phase=on_phase)
    except embedded.Interrupted as error:
        return interrupted(error.submission)
    code = print_report(report, form)
    if code == 1:
        terminal.hint(f"grader check {shlex.join(targets)} shows the public examples and your prints")
    return code


def refuse_engine(engine: str) -> None:
    """Raise UsageError where an engine is named for what a server judges."""
    if engine:
        hint = "leave --engine out, or judge on this machine: --server none"
        raise UsageError("E2113", "the server chooses its engine", cause=f"--engine {engine}", hint=hint)


def print_remote(remote: "Remote", wait: Callable[[], Report], form: Format) -> int:
    """Wait for a server's report and print it; on Ctrl-C, say how to come back to it."""
    from grader.cli.remote import Interrupted  # noqa: PLC0415 - HTTP is slow to import

    try:
        report = wait()
    except Interrupted as error:
        if error.submission:
            terminal.say(f"\ndetached: submission {error.submission} is judged all the same")
            terminal.hint(f"grader watch {error.submission}, or while it waits: grader cancel {error.submission}")
        elif error.kept:
            terminal.say("\ninterrupted: whether the submission has arrived is not known")
            terminal.hint("run the same command again: it is stored once; another `grader submit` sends it first")
        else:
            terminal.say("\ninterrupted: nothing was sent")
        return INTERRUPTED
    return print_report(report, form, remote)


def watch(which: str, form: Format, server: str, seconds: float | None) -> int:
    """Wait for what a server judges, and print the report."""
    with at_server(server) as remote:
        if remote is None:
            raise UsageError(
                "E2125",
                "no server is configured",
                cause="what this machine judges, `grader submit` waits for",
                hint=f"grader results {which}",
            )
        return print_remote(remote, partial(remote.watch, which, seconds), form)


def interrupted(submission: str) -> int:
    """Say what Ctrl-C has left behind."""
    terminal.say(f"\ninterrupted: submission {submission} is kept and not judged yet")
    terminal.hint("the next `grader submit` finishes it")
    return INTERRUPTED


def results(which: str, form: Format, server: str) -> int:
    """Print a stored report."""
    with at_server(server) as remote:
        if remote:
            return print_report(remote.report(which), form, remote)
    settings = config.read()
    need_store()
    from grader.store import open_store  # noqa: PLC0415 - SQLAlchemy is slow
    from grader.store.courses import Courses  # noqa: PLC0415

    store = open_store(settings.database)
    report = Courses(store).disclose(store.report(which or None, settings.learner), settings.learner)
    return print_report(report, form)


def cancel(which: str, server: str) -> int:
    """Withdraw a submission that is not judged yet."""
    with at_server(server) as remote:
        if remote:
            done = remote.cancel(which)
        else:
            settings = config.read()
            need_store()
            from grader.store import open_store  # noqa: PLC0415 - SQLAlchemy is slow

            store = open_store(settings.database)
            done = store.progress(which).submission if which.startswith("j_") else which
            if store.learner(done) != settings.learner:
                hint = "`grader history EX` lists yours"
                raise NotFound("E5101", f"no submission or judging {which!r} of yours", hint=hint)
            store.cancel(done)
    terminal.say(f"submission {done} is cancelled; no attempt was used")
    return 0


def history(name: str, limit: int, server: str, *, json: bool) -> int:
    """Print a learner's submissions for an exercise, the latest first."""
    settings = config.read()
    with at_server(server) as remote:
        if remote:
            if waiting := remote.unanswered(settings):
                terminal.hint(f"{waiting} sent without an answer; the next `grader submit` sends them again")
            return _history(name, remote.history(name, limit), set(), json=json)
    need_store()
    from grader.store import open_store  # noqa: PLC0415 - SQLAlchemy is slow

    store = open_store(settings.database)
    attempts = store.history(settings.learner, name, limit)
    if not attempts:
        exercises.load(name)  # a name that does not exist is told so
    return _history(name, attempts, set(store.unfinished()), json=json)


def _history(name: str, attempts: "Sequence[Attempt]", lost: set[str], *, json: bool) -> int:
    if json:
        listed = [_attempt(each, interrupted=each.judging in lost) for each in attempts]
        terminal.answer_json({"schema": "grader/history/1", "exercise": name, "submissions": listed})
        return 0
    if not attempts:
        terminal.answer(f"{name}: nothing was submitted yet")
        return 0
    from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and JSON does without

    terminal.show(pages.history_page(attempts, lost))
    if any(each.judging in lost for each in attempts):
        terminal.hint("an interrupted judging is finished by the next `grader submit`")
    return 0


def board(name: str, limit: int, server: str, public_name: str | None, *, json: bool) -> int:
    """Print who did best, of those who show a name; `public_name` first shows oneself, or with nothing hides."""
    with at_server(server) as remote:
        if remote is None:
            hint = "grader auth login https://HOST"
            raise UsageError("E2125", "no server is configured", cause="a leaderboard is a server's", hint=hint)
        if public_name is not None:
            remote.show_as(public_name or None)
        places = remote.board(name, limit)
    if json:
        terminal.answer_json({"schema": "grader/board/1", "exercise": name, "places": places})
    elif not places:
        terminal.answer(f"{name}: nobody shows a name yet")
    else:
        from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and JSON does without

        terminal.show(pages.board_page(places))
    return 0


def _attempt(attempt: "Attempt", *, interrupted: bool) -> dict[str, object]:
    status = "interrupted" if interrupted else attempt.status
    return {**msgspec.structs.asdict(attempt), "status": status}


def print_report(report: Report, form: Format, remote: "Remote | None" = None) -> int:
    """Write a report to stdout; return the exit code that its verdict stands for."""
    if form is Format.FULL:
        from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and the others do without

        terminal.show(*pages.report_page(report, _title(report.exercise, _catalogue(remote))))
    else:
        terminal.answer(write(report, form))
    if report.verdict is Verdict.INTERNAL_ERROR and terminal.flags.verbose and report.log:
        sys.stderr.write(report.log.rstrip("\n") + "\n")
    return {Verdict.ACCEPTED: 0, Verdict.INTERNAL_ERROR: 3}.get(report.verdict, 1)


def _title(name: str, catalogue: Catalogue) -> str:
    """Return the exercise's title; its name, where the exercise is gone or malformed by now."""
    try:
        return catalogue.load(name).title
    except GraderError:
        return name


def _exercise_and_file(targets: list[str], catalogue: Catalogue) -> tuple[Exercise, Path]:
    """Understand `EXERCISE FILE`, `EXERCISE` alone and `FILE` alone."""
    if len(targets) > 2:  # noqa: PLR2004 - an exercise and a file
        raise UsageError(
            "E2101",
            f"an exercise and one file are expected, not {len(targets)} things",
            hint="grader submit softmax softmax.py",
        )
    if len(targets) == 2:  # noqa: PLR2004
        return catalogue.load(targets[0]), Path(targets[1])
    (target,) = targets
    path = Path(target)
    named = path.stem.replace("_", "-")
    if target not in catalogue.names() and (path.suffix or path.exists()):
        if named not in catalogue.names():
            near = difflib.get_close_matches(named, catalogue.names(), n=1)
            raise NotFound(
                "E5105",
                f"{target} does not say which exercise it is for",
                cause=f"there is no exercise called {named!r}",
                hint=f"grader submit {near[0] if near else 'EXERCISE'} {target}",
            )
        return catalogue.load(named), path
    exercise = catalogue.load(target)
    return exercise, Path(f"{exercise.module}.py")


def _read(exercise: Exercise, path: Path) -> tuple[str, bytes]:
    """Return a file's name and its Python source. What is in it is the judge's affair."""
    name, content = _read_raw(exercise, path)
    if path.suffix.lower() == notebook.SUFFIX:
        return path.stem + notebook.SUFFIX, notebook.to_source(content, path.name)
    return name, content


def _read_raw(exercise: Exercise, path: Path) -> tuple[str, bytes]:
    if str(path) == "-":
        return f"{exercise.module}.py", _bounded(sys.stdin.buffer.read(MAX_FILE_BYTES + 1), path)
    try:
        with path.open("rb") as file:
            content = _bounded(file.read(MAX_FILE_BYTES + 1), path)
    except FileNotFoundError as error:
        raise UsageError("E2102", f"there is no file {path}", hint=_remedy(exercise, path)) from error
    except IsADirectoryError as error:
        raise UsageError(
            "E2103", f"{path} is a folder", hint=f"name the file: grader submit {exercise.name} FILE"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(
            "E2104",
            f"{path} cannot be read",
            cause=getattr(error, "strerror", None) or str(error),
            hint="check the file's name and permissions",
        ) from error
    return path.name, content


def _bounded(content: bytes, path: Path) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(
            "E2105",
            f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB",
            cause="a submission is one source file; nothing was stored",
            hint="clear a notebook's outputs, or take data out of the file",
        )
    return content


def _remedy(exercise: Exercise, path: Path) -> str:
    folder = path.parent
    files = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, files, n=1)
    if near:
        return f"did you mean {folder / near[0]}?"
    return f"grader start {exercise.name} writes one to begin with"


def need_judge(exercise: Exercise) -> None:
    """Raise UsageError where this installation cannot judge the exercise."""
    need_store()
    if exercise.kind == "torch" and importlib.util.find_spec("torch") is None:
        raise UsageError(
            "E2109",
            f"{exercise.name} needs PyTorch, which is not installed",
            hint='pip install "grader[torch]"',
        )


def need_store() -> None:
    """Raise UsageError where this is the thin command line, without judge and store."""
    absent = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise UsageError(
            "E2109",
            "this installation cannot judge",
            cause=f"not installed: {', '.join(absent)}",
            hint='pip install "grader[judge]"',
        )
