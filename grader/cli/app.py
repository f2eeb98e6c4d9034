"""Arguments, options and help texts of every command. What a command does is imported when it runs."""

import functools
import inspect
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from grader.cli import terminal
from grader.cli.terminal import Color
from grader.formats import Format

app = typer.Typer(
    name="grader",
    help="Grade deep-learning exercises: the judge calls your file inside a sandbox.",
    epilog="Exit codes: 0 done or accepted, 1 judged and not accepted, 2 usage or a malformed "
    "exercise, 3 our own fault (no attempt used), 5 not found, 130 Ctrl-C.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sandbox = typer.Typer(name="sandbox")
app.add_typer(sandbox)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code, raises what the command raises."""
    if "_GRADER_COMPLETE" in os.environ:
        from typer.completion import get_completion_inspect_parameters  # noqa: PLC0415 - slow

        get_completion_inspect_parameters()  # registers the shells: Typer does it only for its own options
    code = app(arguments or ["--help"], prog_name="grader", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _flags(
    *,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no hints.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Usage and environment; a traceback on errors.")
    ] = False,
    color: Annotated[Color, typer.Option(help="When to colour; NO_COLOR is heeded.")] = Color.AUTO,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Never ask a question (no command asks one today).")
    ] = False,
) -> None:
    del no_input
    terminal.flags.quiet |= quiet
    terminal.flags.verbose |= verbose
    if color is not Color.AUTO:
        terminal.flags.color = color


def command(name: str, group: typer.Typer = app) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a function a command that takes the flags of `_flags` besides its own options."""

    def add(function: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(function, eval_str=True)
        shared = inspect.signature(_flags, eval_str=True).parameters
        parameters = [*own.parameters.values(), *shared.values()]

        @functools.wraps(function)
        def with_flags(**values: Any) -> int:
            _flags(**{name: values.pop(name) for name in shared})
            return function(**values)

        with_flags.__annotations__ = {each.name: each.annotation for each in parameters}
        with_flags.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        group.command(name)(with_flags)
        return function

    return add


@app.callback(invoke_without_command=True)
def root(
    *,
    version_only: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", hidden=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", hidden=True)] = False,
    color: Annotated[Color, typer.Option(hidden=True)] = Color.AUTO,
    no_input: Annotated[bool, typer.Option("--no-input", hidden=True)] = False,
) -> None:
    """Grade deep-learning exercises: the judge calls your file inside a sandbox."""
    _flags(quiet=quiet, verbose=verbose, color=color, no_input=no_input)
    if version_only:
        from grader import __version__  # noqa: PLC0415 - beside its only use

        terminal.answer(f"grader {__version__}")
        raise typer.Exit(0)


def _exercise_names(incomplete: str) -> list[str]:
    from grader.exercise import names  # noqa: PLC0415 - keeps `--help` quick

    return [name for name in names() if name.startswith(incomplete)]


def _exercise_or_file(incomplete: str) -> list[str]:
    folder, _, start = incomplete.rpartition("/")
    near = Path(folder or ".")
    files = sorted(near.glob("*")) if near.is_dir() else []
    prefix = f"{folder}/" if "/" in incomplete else ""
    found = [
        f"{prefix}{path.name}{'/' if path.is_dir() else ''}"
        for path in files
        if path.name.startswith(start) and (path.is_dir() or path.suffix in {".py", ".ipynb"})
    ]
    return [*_exercise_names(incomplete), *found]


Exercise = Annotated[str, typer.Argument(metavar="EXERCISE", help="Its name.", autocompletion=_exercise_names)]
Targets = Annotated[
    list[str],
    typer.Argument(
        metavar="[EXERCISE] [FILE]",
        help="The exercise may be left out where the file has its name (lstm_cell.py), the file "
        "where it lies here under that name. `-` is standard input.",
        show_default=False,
        autocompletion=_exercise_or_file,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="auto, docker, bubblewrap or local; GRADER_ENGINE sets it too.",
        autocompletion=lambda: ["auto", "docker", "bubblewrap", "local"],
    ),
]
Form = Annotated[Format, typer.Option("--format", help="How to write the report.")]


@command("list")
def list_(*, json: AsJson = False) -> int:
    """List the exercises, by track."""
    from grader.cli import students  # noqa: PLC0415 - keeps `--help` quick

    return students.list_exercises(json=json)


@command("show")
def show(exercise: Exercise, *, json: AsJson = False) -> int:
    """Show an exercise: its statement, interface and limits."""
    from grader.cli import students  # noqa: PLC0415

    return students.show(exercise, json=json)


@command("start")
def start(
    exercise: Exercise,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; lstm_cell.py by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> int:
    """Write an exercise's starter file, to begin with."""
    from grader.cli import students  # noqa: PLC0415

    return students.start(exercise, output, force=force)


@command("check")
def check(targets: Targets, *, engine: Engine = "", form: Form = Format.FULL, json: AsJson = False) -> int:
    """Run the public examples on a file; nothing is stored."""
    from grader.cli import students  # noqa: PLC0415

    return students.check(targets, Format.JSON if json else form, engine)


@command("submit")
def submit(targets: Targets, *, engine: Engine = "", form: Form = Format.FULL, json: AsJson = False) -> int:
    """Submit a file (.py, .ipynb) to be judged by the hidden tests."""
    from grader.cli import students  # noqa: PLC0415

    return students.submit(targets, Format.JSON if json else form, engine)


@command("results")
def results(
    submission: Annotated[
        str, typer.Argument(metavar="[ID]", help="A submission or judging; the latest if left out.")
    ] = "",
    *,
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Show the report of a submission again."""
    from grader.cli import students  # noqa: PLC0415

    return students.results(submission, Format.JSON if json else form)


@command("history")
def history(
    exercise: Exercise,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
    json: AsJson = False,
) -> int:
    """List your submissions for an exercise, the latest first."""
    from grader.cli import students  # noqa: PLC0415

    return students.history(exercise, limit, json=json)


@command("new")
def new(
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", help="Its name, as `batch-norm`.")],
    *,
    title: Annotated[str, typer.Option(help="One line that names it to a person.")] = "",
    where: Annotated[
        Path | None,
        typer.Option("--in", help="Folder of exercises: GRADER_EXERCISES, or the current folder."),
    ] = None,
) -> int:
    """Create a whole exercise, to change into your own."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.new(exercise, title, where)


@command("verify")
def verify(
    exercise: Annotated[
        str,
        typer.Argument(metavar="EXERCISE", help="A name, or a folder.", autocompletion=_exercise_names),
    ],
    *,
    seeds: Annotated[int, typer.Option(min=1, help="How many times to judge the reference.")] = 20,
    engine: Engine = "",
    json: AsJson = False,
) -> int:
    """Prove that an exercise accepts right and rejects wrong."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.verify(exercise, seeds, engine, json=json)


@command("rejudge")
def rejudge(
    submission: Annotated[str, typer.Argument(metavar="ID", help="The submission.")],
    *,
    engine: Engine = "",
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Judge a stored submission again, with the same seed."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.rejudge(submission, Format.JSON if json else form, engine)


@command("overrule")
def overrule(
    submission: Annotated[str, typer.Argument(metavar="ID", help="The submission, whosever it is.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept, and shown in the report.")],
    engine: Engine = "",
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Judge a submission again without the policy that it violated."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.overrule(submission, reason, Format.JSON if json else form, engine)


@command("explain")
def explain(
    code: Annotated[str, typer.Argument(metavar="[CODE]", help="E2103; all if left out.")] = "",
    *,
    json: AsJson = False,
) -> int:
    """Explain an error code: what it means and what to do."""
    from grader.cli import everyone  # noqa: PLC0415

    return everyone.explain(code, json=json)


@command("doctor")
def doctor(*, json: AsJson = False) -> int:
    """Say what this machine can judge with, and what mends the rest."""
    from grader.cli import everyone  # noqa: PLC0415

    return everyone.doctor(json=json)


class Image(StrEnum):
    """The images of sandboxes."""

    NUMPY = "numpy"
    TORCH = "torch"


@sandbox.callback(invoke_without_command=True)
def sandbox_root(context: typer.Context) -> None:
    """Build what sandboxes are made from; remove what they left."""
    if context.invoked_subcommand is None:
        terminal.answer(context.get_help())


@command("build", sandbox)
def sandbox_build(
    kinds: Annotated[
        list[Image] | None,
        typer.Argument(metavar="[numpy|torch]...", help="Which; all if left out.", show_default=False),
    ] = None,
    *,
    base: Annotated[
        str,
        typer.Option(
            metavar="IMAGE", envvar="GRADER_SANDBOX_BASE", help="Image with glibc and Python 3.11 to build on."
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Build anew what is there, on a fresh base.")] = False,
) -> int:
    """Build the images of the engine docker that are missing."""
    return _of_worker("sandbox-build")(kinds or [], base, terminal.say, force=force)


@command("reap", sandbox)
def sandbox_reap(
    *,
    every: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", min=1, help="Do it again and again, until Ctrl-C or SIGTERM."),
    ] = None,
) -> int:
    """Remove containers and control groups that killed judges left."""
    return _of_worker("sandbox-reap")(terminal.say, every)


def _of_worker(name: str) -> Callable[..., int]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - keeps `--help` quick

    (point,) = entry_points(group="grader.commands", name=name)
    load: Callable[[], Callable[..., int]] = point.load
    return load()


@command("version")
def version(*, json: AsJson = False) -> int:
    """Print the versions that a verdict depends on."""
    from grader.cli import everyone  # noqa: PLC0415

    return everyone.version(json=json)


@command("completion")
def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the script that completes in your shell."""
    from grader.cli import everyone  # noqa: PLC0415

    return everyone.completion(shell)
