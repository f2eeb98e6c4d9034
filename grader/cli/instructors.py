"""What `new`, `verify`, `rejudge` and `overrule` do."""

import os
from functools import partial
from pathlib import Path

from grader import config
from grader import exercise as exercises
from grader.cli import students, terminal
from grader.errors import NotFound, UsageError
from grader.formats import Format
from grader.scaffold import create

_MAX_REASON = 1000


def new(name: str, title: str, where: Path | None) -> int:
    """Create an exercise and say what to do with it."""
    searched = [Path(part) for part in os.environ.get("GRADER_EXERCISES", "").split(os.pathsep) if part]
    where = where or (searched[0] if searched else Path())
    written = create(name, title, where)
    terminal.answer("\n".join(map(str, written)))
    if where.absolute() not in [path.absolute() for path in exercises.roots()]:
        terminal.hint(f"make it found: export GRADER_EXERCISES={str(where.absolute())!r}")
    terminal.hint(f"change the mathematics, then: grader verify {where / name}")
    return 0


def verify(name: str, seeds: int, engine: str, device: str = "", *, json: bool) -> int:
    """Run the publication gate on an exercise, given by name or folder."""
    folder = Path(name)
    if name not in exercises.names() and (os.sep in name or (folder / "exercise.toml").is_file()):
        if not folder.is_dir():
            raise NotFound("E5101", f"there is no exercise in {name!r}", hint="grader list")
        exercise = exercises.load_folder(folder)
    else:
        exercise = exercises.load(name)
    exercise = exercise.on(device)
    settings = config.read(engine)
    students.need_judge(exercise)
    from grader import gate  # noqa: PLC0415 - only a judge's installation has what it needs

    # The files are the author's own: without a word to the contrary they need no isolation.
    engine = settings.engine or ("auto" if settings.isolated else "local")
    report = gate.verify(exercise, seeds=seeds, engine=engine, isolated=settings.isolated, on_step=terminal.say)
    if json:
        terminal.answer_json(report.to_dict())
    else:
        terminal.answer("\n".join(report.lines))
    return 0 if report.passed else 1


def overrule(which: str, reason: str, form: Format, engine: str, server: str, seconds: float | None) -> int:
    """Judge a submission again without the policy that it violated, and print the new report."""
    if not reason.strip() or len(reason) > _MAX_REASON:
        raise UsageError(
            "E2101",
            f"a reason has 1 to {_MAX_REASON} characters",
            cause="it is kept with the judging, and everyone who sees the report reads it",
            hint='grader overrule ID --reason "..."',
        )
    return rejudge(which, form, engine, server, seconds, reason.strip())


def rejudge(which: str, form: Format, engine: str, server: str, seconds: float | None, reason: str = "") -> int:
    """Judge a stored submission again with its seed, and print the new report; `reason` overrules the policy."""
    with students.at_server(server) as remote:
        if remote:
            students.refuse_engine(engine)
            return students.print_remote(remote, partial(remote.rejudge, which, reason, seconds), form)
    settings = config.read(engine)
    students.need_store()
    from grader import embedded  # noqa: PLC0415 - only a judge's installation has what it needs

    progress = terminal.Progress("rejudge")
    try:
        with progress:
            report = embedded.rejudge(which, settings, say=terminal.say, on_phase=progress.phase, reason=reason)
    except embedded.Interrupted as error:
        return students.interrupted(error.submission)
    return students.print_report(report, form)
