"""The `grader` command: arguments in `app`, what each command does in `students`, `instructors`, `everyone`."""

import gc
import sys
from types import TracebackType
from typing import NoReturn, Self

import typer

from grader.cli import terminal
from grader.errors import GraderError, OurFault

INTERRUPTED = 130


class _Ending:
    """Turns whatever ends a command into an exit code and, for an error, its three lines."""

    code = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, SystemExit):
            return False
        if isinstance(error, KeyboardInterrupt):
            self.code = INTERRUPTED
            return True
        told = _as_ours(error)
        terminal.complain(told)
        if terminal.flags.verbose and not isinstance(error, typer.TyperException):
            import traceback  # noqa: PLC0415 - only with -v

            traceback.print_exception(kind, error, trace)
        self.code = told.exit_code
        return True


def _as_ours(error: BaseException) -> GraderError:
    from grader.errors import UsageError  # noqa: PLC0415 - beside its only use

    if isinstance(error, GraderError):
        return error
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "grader"
        return UsageError("E2101", error.format_message(), hint=f"{command} --help")
    return OurFault(
        "E3001",
        "the grader failed",
        cause=f"{type(error).__name__}: {error}",
        hint="run it again with -v and report what it prints; no attempt was used",
    )


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    gc.set_threshold(100_000)  # imports make many objects and no garbage: a tenth of their time
    terminal.prepare()
    with _Ending() as ending:
        from grader.cli.app import run  # noqa: PLC0415 - an error in it is told like any other

        ending.code = run(sys.argv[1:])
    sys.exit(ending.code)
