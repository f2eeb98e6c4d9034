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
    "exercise, 3 our own fault (no attempt used), 4 login needed, 5 not found or not permitted, "
    "6 too many or too late, 7 gave up waiting, 8 no report yet, 9 a GPU is needed, 130 Ctrl-C.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sandbox = typer.Typer(name="sandbox")
app.add_typer(sandbox)
auth = typer.Typer(name="auth", help="Log in to a server that judges.", no_args_is_help=True)
app.add_typer(auth)
user = typer.Typer(name="user", help="Who may log in to a server.", no_args_is_help=True)
app.add_typer(user)
token = typer.Typer(name="token", help="What programs log in to a server with.", no_args_is_help=True)
app.add_typer(token)
gpu = typer.Typer(name="gpu", help="The GPUs of a server's workers.", no_args_is_help=True)
app.add_typer(gpu)
db = typer.Typer(name="db", help="The database of a server.", no_args_is_help=True)
app.add_typer(db)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code, raises what the command raises."""
    from grader.cli import teaching  # noqa: F401, PLC0415  adds its commands; it needs what stands here

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
        bool, typer.Option("--no-input", help="Never ask a question: fail where one would be asked.")
    ] = False,
) -> None:
    terminal.flags.no_input |= no_input
    terminal.flags.quiet |= quiet
    terminal.flags.verbose |= verbose
    if color is not Color.AUTO:
        terminal.flags.color = color


_SHARED = inspect.signature(_flags).parameters


def command(name: str, group: typer.Typer = app) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a function a command that takes the flags of `_flags` besides its own options."""

    def add(function: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(function)
        parameters = [*own.parameters.values(), *_SHARED.values()]

        @functools.wraps(function)
        def with_flags(**values: Any) -> int:
            _flags(**{name: values.pop(name) for name in _SHARED})
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
Server = Annotated[
    str,
    typer.Option("--server", metavar="URL", help="Which server judges, or none; GRADER_SERVER and a login set it too."),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="cpu or cuda, where the exercise has both; its first if left out.",
        autocompletion=lambda: ["cpu", "cuda"],
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0, help="Give up waiting for a server then; it judges all the same."
    ),
]
Form = Annotated[Format, typer.Option("--format", help="How to write the report.")]


@command("list")
def list_(*, server: Server = "", json: AsJson = False) -> int:
    """List the exercises, by track."""
    from grader.cli import students  # noqa: PLC0415 - keeps `--help` quick

    return students.list_exercises(server, json=json)


@command("show")
def show(exercise: Exercise, *, server: Server = "", json: AsJson = False) -> int:
    """Show an exercise: its statement, interface and limits."""
    from grader.cli import students  # noqa: PLC0415

    return students.show(exercise, server, json=json)


@command("start")
def start(
    exercise: Exercise,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; lstm_cell.py by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    server: Server = "",
) -> int:
    """Write an exercise's starter file, to begin with."""
    from grader.cli import students  # noqa: PLC0415

    return students.start(exercise, output, server, force=force)


@command("check")
def check(
    targets: Targets,
    *,
    device: Device = "",
    engine: Engine = "",
    server: Server = "",
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Run the public examples on a file, here; nothing is stored or sent."""
    from grader.cli import students  # noqa: PLC0415

    return students.check(targets, Format.JSON if json else form, engine, server, device)


@command("submit")
def submit(
    targets: Targets,
    *,
    device: Device = "",
    engine: Engine = "",
    server: Server = "",
    timeout: Seconds = None,
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Submit a file (.py, .ipynb) to be judged by the hidden tests."""
    from grader.cli import students  # noqa: PLC0415

    return students.submit(targets, Format.JSON if json else form, engine, server, timeout, device)


@command("cancel")
def cancel(
    submission: Annotated[str, typer.Argument(metavar="ID", help="A submission or judging.")],
    *,
    server: Server = "",
) -> int:
    """Withdraw a submission before its judging begins."""
    from grader.cli import students  # noqa: PLC0415

    return students.cancel(submission, server)


@command("watch")
def watch(
    submission: Annotated[str, typer.Argument(metavar="ID", help="A submission or judging.")],
    *,
    server: Server = "",
    timeout: Seconds = None,
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Wait for what a server judges, and show the report."""
    from grader.cli import students  # noqa: PLC0415

    return students.watch(submission, Format.JSON if json else form, server, timeout)


@command("results")
def results(
    submission: Annotated[
        str, typer.Argument(metavar="[ID]", help="A submission or judging; the latest if left out.")
    ] = "",
    *,
    server: Server = "",
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Show the report of a submission again."""
    from grader.cli import students  # noqa: PLC0415

    return students.results(submission, Format.JSON if json else form, server)


@command("history")
def history(
    exercise: Exercise,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
    server: Server = "",
    json: AsJson = False,
) -> int:
    """List your submissions for an exercise, the latest first."""
    from grader.cli import students  # noqa: PLC0415

    return students.history(exercise, limit, server, json=json)


@command("board")
def board(
    exercise: Exercise,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="First show yourself on boards by this name.")
    ] = None,
    hide: Annotated[bool, typer.Option("--hide", help="First hide yourself from boards.")] = False,
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Show who did best, of those who show a name: most points, then fastest, then first."""
    from grader.cli import students  # noqa: PLC0415

    return students.board(exercise, limit, server, "" if hide else name, json=json)


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
    device: Device = "",
    engine: Engine = "",
    json: AsJson = False,
) -> int:
    """Prove that an exercise accepts right and rejects wrong."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.verify(exercise, seeds, engine, device, json=json)


@command("rejudge")
def rejudge(
    submission: Annotated[str, typer.Argument(metavar="ID", help="The submission.")],
    *,
    engine: Engine = "",
    server: Server = "",
    timeout: Seconds = None,
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Judge a stored submission again, with the same seed."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.rejudge(submission, Format.JSON if json else form, engine, server, timeout)


@command("overrule")
def overrule(
    submission: Annotated[str, typer.Argument(metavar="ID", help="The submission, whosever it is.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept, and shown in the report.")],
    engine: Engine = "",
    server: Server = "",
    timeout: Seconds = None,
    form: Form = Format.FULL,
    json: AsJson = False,
) -> int:
    """Judge a submission again without the policy that it violated."""
    from grader.cli import instructors  # noqa: PLC0415

    return instructors.overrule(submission, reason, Format.JSON if json else form, engine, server, timeout)


@command("regrade")
def regrade(
    exercise: Exercise,
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Judge each learner's best and last here; store nothing, show who changes."),
    ] = False,
    never_lower: Annotated[
        bool, typer.Option("--never-lower", help="What comes out lower is kept, and does not count.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="On a server: do not wait for its workers.")] = False,
    engine: Engine = "",
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Judge again what was judged against another version of an exercise."""
    from grader.cli import regrade as regrades  # noqa: PLC0415

    chosen = regrades.Chosen(dry_run=dry_run, never_lower=never_lower, detach=detach, engine=engine, json=json)
    return regrades.regrade(exercise, server, chosen)


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


@command("worker")
def worker(
    *,
    queues: Annotated[str, typer.Option(help="What to judge: cpu, gpu, or both with a comma.")] = "cpu",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many at a time; as many as there are cores unless said.")
    ] = None,
) -> int:
    """Judge what a server's learners submit, until SIGTERM.

    The environment says where and how: GRADER_DATABASE_URL and GRADER_BROKER_URL, or files that hold them, named by
    GRADER_DATABASE_URL_FILE and GRADER_BROKER_URL_FILE; GRADER_SECRET_FILE, the same on all workers; GRADER_ENGINE;
    GRADER_LEASE_SECONDS (60) and GRADER_GRACE_SECONDS (30).
    """
    _need_service()
    return _of_worker("worker")([queue.strip() for queue in queues.split(",")], concurrency)


@command("sweep")
def sweep(
    *,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How often.")] = 30.0,
) -> int:
    """Send again what got lost on the way to workers, until SIGTERM.

    The environment says where: GRADER_DATABASE_URL and GRADER_BROKER_URL, or files that hold them, named by
    GRADER_DATABASE_URL_FILE and GRADER_BROKER_URL_FILE.
    """
    _need_service()
    from grader import queue  # noqa: PLC0415 - keeps `--help` quick

    return queue.sweep(every, terminal.say)


def _need_service() -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - keeps `--help` quick

    from grader.errors import UsageError  # noqa: PLC0415

    absent = [name for name in ("celery", "sqlalchemy") if find_spec(name) is None]
    if absent:
        cause = f"not installed: {', '.join(absent)}"
        raise UsageError("E2109", "this installation has no service", cause=cause, hint='pip install "grader[server]"')


def _of_worker(name: str) -> Callable[..., int]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - keeps `--help` quick

    (point,) = entry_points(group="grader.commands", name=name)
    load: Callable[[], Callable[..., int]] = point.load
    return load()


@command("serve")
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    embedded: Annotated[bool, typer.Option("--embedded", help="Judge here too, over SQLite: for a workshop.")] = False,
) -> int:
    """Serve the API, until Ctrl-C or SIGTERM."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.serve(host, port, embedded=embedded)


@command("queue")
def queue(*, json: AsJson = False) -> int:
    """Show what waits on a server to be judged, its GPUs, and what it failed to judge."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.queue(json=json)


@command("restore", gpu)
def gpu_restore(
    gpu_id: Annotated[str, typer.Argument(metavar="ID", help="As `grader queue` shows it.")],
) -> int:
    """Let workers use a GPU again that was kept from them for a fault."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.restore_gpu(gpu_id)


@command("audit")
def audit(
    *,
    subject: Annotated[
        str, typer.Option(metavar="ID", help="Only what was done to it: a submission, an account.")
    ] = "",
    by: Annotated[str, typer.Option(metavar="NAME", help="Only what this account did.")] = "",
    organisation: Annotated[str, typer.Option(help="With --by: whose account it is.")] = "main",
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 50,
    before: Annotated[str, typer.Option(metavar="ID", help="Only what came before this line.")] = "",
    json: AsJson = False,
) -> int:
    """Show who did what on a server."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.audit(subject, organisation, by, limit, before, json=json)


User = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
Organisation = Annotated[str, typer.Option(help="Whose account it is.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, instead of making one.")
]


@command("add", user)
def user_add(
    name: User,
    *,
    organisation: Organisation = "main",
    role: Annotated[str, typer.Option(help="learner, instructor, hiring or operator.")] = "learner",
    public_name: Annotated[str, typer.Option(help="Shown on leaderboards; on none without.")] = "",
    password_stdin: PasswordStdin = False,
) -> int:
    """Add an account, and its organisation if that is new; print its password."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.add_user(organisation, name, role, public_name, password_stdin=password_stdin)


@command("list", user)
def user_list(*, organisation: Organisation = "main", json: AsJson = False) -> int:
    """List the accounts of an organisation."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.list_users(organisation, json=json)


@command("role", user)
def user_role(
    name: User,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="learner, instructor, hiring or operator.")],
    *,
    organisation: Organisation = "main",
) -> int:
    """Give an account another role."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.change_role(organisation, name, role)


@command("password", user)
def user_password(name: User, *, organisation: Organisation = "main", password_stdin: PasswordStdin = False) -> int:
    """Give an account a new password, and print it."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.change_password(organisation, name, password_stdin=password_stdin)


@command("disable", user)
def user_disable(
    name: User,
    *,
    organisation: Organisation = "main",
    undo: Annotated[bool, typer.Option("--undo", help="Let it in again.")] = False,
) -> int:
    """Keep an account out, its tokens too; what it sent stays."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.disable_user(organisation, name, enable=undo)


@command("issue", token)
def token_issue(
    name: User,
    *,
    organisation: Organisation = "main",
    label: Annotated[str, typer.Option(help="What it is for.")] = "issued by an operator",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="submit, read, staff or operate, once for each; all that the role allows if left out."),
    ] = None,
    days: Annotated[float, typer.Option(min=0, help="How long it is good for.")] = 90.0,
) -> int:
    """Print a new token of an account."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.issue_token(organisation, name, label, scope or [], days)


@command("list", token)
def token_list(name: User, *, organisation: Organisation = "main", json: AsJson = False) -> int:
    """List an account's tokens, without the tokens themselves."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.list_tokens(organisation, name, json=json)


@command("revoke", token)
def token_revoke(
    name: User,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `grader token list` shows it.")],
    *,
    organisation: Organisation = "main",
) -> int:
    """End a token of an account."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.revoke_token(organisation, name, token_id)


@command("upgrade", db)
def db_upgrade() -> int:
    """Bring the database to the version of this grader; make its tables where it is empty."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.upgrade_database()


@command("check", db)
def db_check(*, json: AsJson = False) -> int:
    """Say whether the database answers and is at the version of this grader; change nothing."""
    from grader.cli import operators  # noqa: PLC0415

    return operators.check_database(json=json)


Address = Annotated[
    str, typer.Argument(metavar="[URL]", help="The server; the one in force if left out.", show_default=False)
]


@command("login", auth)
def auth_login(
    address: Address = "",
    *,
    password: Annotated[
        bool, typer.Option("--password", help="By the password of an account of the server; it is asked for.")
    ] = False,
    name: Annotated[str, typer.Option(help="With --password: the account; asked for if left out.")] = "",
    organisation: Annotated[str, typer.Option(help="With --password: whose account it is.")] = "main",
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="By a token, which is read from standard input.")
    ] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="With a code: submit, read, staff or operate, once for each; submit and read if left out."),
    ] = None,
) -> int:
    """Log in: by a code that you approve elsewhere unless another way is named."""
    from grader.cli import auth as logins  # noqa: PLC0415

    if token_stdin:
        return logins.login_by_token(address)
    if password:
        return logins.login_by_password(address, organisation, name)
    return logins.login_by_device(address, scope or [])


@command("logout", auth)
def auth_logout(address: Address = "") -> int:
    """Log out: the server revokes the token."""
    from grader.cli import auth as logins  # noqa: PLC0415

    return logins.logout(address)


@command("status", auth)
def auth_status(address: Address = "", *, json: AsJson = False) -> int:
    """Say where you are logged in, as whom and until when."""
    from grader.cli import auth as logins  # noqa: PLC0415

    return logins.status(address, json=json)


@command("approve", auth)
def auth_approve(
    code: Annotated[str, typer.Argument(metavar="CODE", help="As `grader auth login` shows it elsewhere.")],
    *,
    deny: Annotated[bool, typer.Option("--deny", help="Refuse it instead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Let a login elsewhere, which shows this code, be yours."""
    from grader.cli import auth as logins  # noqa: PLC0415

    return logins.approve(code, deny=deny, sure=yes)


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
