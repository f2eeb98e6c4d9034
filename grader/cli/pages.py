"""What a person reads on stdout: reports, lists and statements, laid out by Rich.

Marks differ in shape and words, never in colour alone. Every text that may come from a submission is made
`safe` and put into `Text`, which Rich does not read as markup.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grader.cli import terminal
from grader.formats import number, overruled, safe, score, timing
from grader.report import Report, Speed, TestReport
from grader.verdict import Verdict

if TYPE_CHECKING:
    from grader.engine import Finding, Kind
    from grader.errors import GraderError
    from grader.exercise import Exercise
    from grader.records import Attempt, Judged, Place
    from grader.regrade import Change, Mark

_STYLES = {Verdict.ACCEPTED: "bold green", Verdict.INTERNAL_ERROR: "bold magenta", Verdict.CANCELLED: "bold"}
_UNICODE = ("✓", "✗", "·")
_ASCII = ("ok", "NO", "-")
_POINTS = (("○", "●", "┊"), ("r", "y", "|"))
_PLOT_WIDTH = 28


def _marks() -> tuple[str, str, str]:
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return _UNICODE if encoding.startswith("utf") else _ASCII


def report_page(report: Report, title: str) -> Iterator[RenderableType]:
    """Lay out a report: verdict and score, its message, the tests, what was printed, the ids."""
    dot = _marks()[2]
    style = _STYLES.get(report.verdict, "bold red")
    gap = f"  {dot}  "
    yield Text.assemble((safe(title), "bold"), gap, (str(report.verdict), style), gap, score(report))
    if report.verdict is Verdict.INTERNAL_ERROR:
        yield _indented("This is our own fault, not yours: no attempt was used.", "magenta")
    if report.overruled:
        yield _indented(safe(overruled(report)), "yellow")
    if report.message:
        yield _indented(safe(report.message), "")
    unrun = report.message and all(test.verdict == report.verdict and not test.message for test in report.tests)
    if unrun and not report.withheld:
        yield _indented(f"None of the {len(report.tests)} tests could run.", "dim")
    elif report.tests:
        yield Text()
        yield _tests(report)
    if report.printed.strip():
        yield Text("\nprinted by your file:", "bold")
        yield _indented(safe(report.printed.rstrip("\n")), "")
    if terminal.flags.verbose:
        yield Text()
        yield _evidence(report)
    if report.submission:
        attempt = [f"attempt {report.attempt}"] if report.attempt else []
        ids = [*attempt, f"submission {report.submission}", f"judging {report.judging}"]
        ids.append(f"{report.usage.wall_seconds:.2f} s")
        yield Text(f"\n{f' {dot} '.join(ids)}", "dim")


def _indented(text: str, style: str) -> RenderableType:
    return Padding(Text(text, style), (0, 0, 0, 2))


def _tests(report: Report) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    told = {report.message}
    for test in report.tests:
        passed = test.verdict is Verdict.ACCEPTED
        style = _STYLES.get(test.verdict, "red")
        mark = Text(f" {_marks()[0 if passed else 1]}", style)
        points = f"{number(test.points)}/{number(test.max_points)}"
        verdict = Text("" if passed else str(test.verdict), style)
        table.add_row(mark, _test(test, told), points, verdict)
    return table


def _test(test: TestReport, told: set[str]) -> RenderableType:
    """Lay out a title and, below it, what is said about the test; what was said above is not repeated."""
    lines: list[RenderableType] = [Text(safe(test.title))]
    said = [text for text in (test.message, test.explanation) if text and text not in told]
    if test.message in said:
        lines.append(_indented(safe(test.message), ""))
    if test.explanation in said:
        lines.append(_indented(f"why: {safe(test.explanation)}", "cyan"))
    if not said and (test.message or test.explanation):
        lines.append(_indented("as above", "dim"))
    for speed in test.speed:
        if speed.outcome != "over":  # else the message says it
            lines.append(_indented(safe(timing(speed)), "dim"))
        lines.append(Padding(Text(_plot(speed), no_wrap=True), (0, 0, 0, 2)))
    told.update(said)
    return Group(*lines)


def _plot(speed: Speed) -> str:
    """Draw the times of a call over the sizes: one line a size, seconds to the right on a logarithmic scale."""
    theirs, mine, limit = _POINTS[_marks() is _ASCII]
    rows = list(zip(speed.sizes, speed.reference_seconds, speed.seconds, strict=True))
    every = [seconds for _, reference, yours in rows for seconds in (reference, yours, speed.ratio_limit * reference)]
    least, most = math.log(max(min(every), 1e-9)), math.log(max(*every, 1e-9))
    width = max(len(f"{size:,}") for size in speed.sizes)
    lines = []
    for size, reference, yours in rows:
        strip = [" "] * _PLOT_WIDTH
        for mark, seconds in ((limit, speed.ratio_limit * reference), (theirs, reference), (mine, yours)):
            share = (math.log(max(seconds, 1e-9)) - least) / ((most - least) or 1.0)
            strip[round(share * (_PLOT_WIDTH - 1))] = mark
        lines.append(
            f"{size:>{width},}  {''.join(strip)}  {_milliseconds(yours)}, reference {_milliseconds(reference)}"
        )
    lines.append(f"{'':{width}}  {mine} yours   {theirs} reference   {limit} limit   (time, logarithmic)")
    return "\n".join(lines)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _evidence(report: Report) -> Table:
    usage, environment = report.usage, report.environment
    versions = [f"{name} {getattr(environment, name)}" for name in ("python", "numpy", "torch")]
    rows = {
        "exercise": f"{report.exercise}, version {report.exercise_version}",
        "seed": report.seed,
        "usage": f"{usage.wall_seconds:.2f} s wall, {usage.cpu_seconds:.2f} s CPU, "
        f"{usage.peak_memory_mib:.0f} MiB, calls: {usage.calls}, sandboxes: {usage.sandboxes}",
        "environment": ", ".join(
            [
                f"grader {environment.grader}",
                f"engine {environment.engine}",
                *filter(None, (environment.image, environment.limits and f"limits by {environment.limits}")),
                *(each for each in versions if not each.endswith(" ")),
                *filter(None, (environment.platform, environment.cpu, environment.device)),
            ]
        ),
    }
    return _pairs(rows)


def _pairs(rows: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, Text(safe(text)))
    return table


def exercises_page(exercises: "Iterable[Exercise]") -> Iterator[RenderableType]:
    """Lay out the exercises under their tracks."""
    by_track = sorted(exercises, key=lambda each: (each.track, each.difficulty, each.name))
    width = max((len(each.name) for each in by_track), default=0)
    for track, members in groupby(by_track, key=lambda each: each.track):
        table = Table.grid(padding=(0, 2))
        table.add_column(width=width + 2, no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for each in members:
            name = Text(f"  {each.name}", "cyan")
            table.add_row(name, f"level {each.difficulty}", each.kind, Text(safe(each.title)))
        yield Text(safe(track), "bold")
        yield table
        yield Text()


def history_page(attempts: "Iterable[Attempt]", lost: set[str]) -> Table:
    """Lay out submissions: attempt, when, verdict or status, score, ids. Times are local."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("attempt", "when", "verdict", "points", "submission", "file"):
        table.add_column(heading, header_style="dim", overflow="fold")
    for each in attempts:
        verdict = str(each.verdict or ("interrupted" if each.judging in lost else each.status))
        style = _STYLES.get(each.verdict, "red") if each.verdict else "yellow"
        points = ""
        if each.score is not None and each.max_score is not None:
            points = f"{number(each.score)}/{number(each.max_score)}"
        when = each.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        file = Text(safe(each.filename))
        table.add_row(str(each.attempt), when, Text(verdict, style), points, each.submission, file)
        for other in each.others:
            table.add_row("", *_other(other), style="dim")
    return table


def _other(judged: "Judged") -> list[str]:
    """Lay out a judging that does not stand: when it ended, what it gave, its id, and why it says nothing."""
    ended = judged.phases.get("stored")
    when = ended.astimezone().strftime("%Y-%m-%d %H:%M") if ended else ""
    points = "" if judged.score is None else f"{number(judged.score)}/{number(judged.max_score or 0.0)}"
    said = "" if judged.verdict is None else "judged again since" if judged.counts else "lower, not counted"
    return [when, str(judged.verdict or judged.status), points, judged.judging, said]


def board_page(places: "Iterable[Place]") -> Table:
    """Lay out a leaderboard, with the ratios to the reference's time where anybody was timed. Moments are local."""
    places = list(places)
    timed = any(each.speed_ratio is not None for each in places)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("rank", "name", "points", *["time / reference"] * timed, "reached"):
        table.add_column(heading, header_style="dim", overflow="fold")
    for each in places:
        points = f"{number(each.score)}/{number(each.max_score)}"
        ratio = "" if each.speed_ratio is None else f"{each.speed_ratio:.3g}"
        when = each.reached_at.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(str(each.rank), Text(safe(each.name)), points, *[ratio] * timed, when)
    return table


def changes_page(changes: "Iterable[Change]") -> Table:
    """Lay out what judging again changes: whose, from what to what, and by how many points."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("learner", "attempt", "before", "after", "points", "submission"):
        table.add_column(heading, header_style="dim", overflow="fold")
    for each in changes:
        change = f"{each.after.score - each.before.score:+.4g}"
        style = "green" if each.after.share > each.before.share else "red"
        if not each.counts:
            change, style = f"{change}, not counted", "yellow"
        marks = (_mark(each.before), _mark(each.after))
        table.add_row(Text(safe(each.learner)), str(each.attempt), *marks, Text(change, style), each.submission)
    return table


def _mark(mark: "Mark") -> Text:
    points = f"{number(mark.score)}/{number(mark.max_score)}"
    return Text.assemble((str(mark.verdict), _STYLES.get(mark.verdict, "red")), f" {points}")


def exercise_page(exercise: "Exercise") -> Iterator[RenderableType]:
    """Lay out one exercise: its statement, interface and limits."""
    from rich.markdown import Markdown  # noqa: PLC0415 - slow

    yield Markdown(exercise.statement)
    yield Text()
    yield interface_table(exercise)


def interface_table(exercise: "Exercise") -> Table:
    """Lay out what a submission must define and may spend."""
    limits = exercise.limits
    names = [f"{each.name}{each.signature}" for each in exercise.functions]
    names += [f"class {each.name}{each.signature}" for each in exercise.classes]
    return _pairs(
        {
            "exercise": f"{exercise.name}, version {exercise.version}",
            "level": f"{exercise.difficulty} of 5, {exercise.kind}",
            "defines": "\n".join(names),
            "limits": f"{number(limits.call_seconds)} s a call, "
            f"{number(limits.judging_seconds)} s in all, {limits.memory_mib} MiB",
        }
    )


def doctor_page(
    findings: "dict[str, list[Finding]]",
    faults: "dict[tuple[str, Kind], GraderError]",
    auto: "dict[Kind, str]",
    gpus: "list[Finding]",
) -> Iterator[RenderableType]:
    """Lay out what each engine needs and found, what mends the rest, whether it works, what `auto` takes, the GPUs."""
    for name, found in findings.items():
        yield Text(name, "bold")
        table = _findings()
        for each in found:
            _finding(table, each.what, each.seen, each.remedy, ok=each.ok)
        told = {each.remedy for each in found}
        for kind in auto:
            fault = faults.get((name, kind))
            if fault is None:
                _finding(table, kind, "a sandbox was started", "", ok=True)
            else:
                cause = f": {fault.cause}" if fault.cause and fault.hint not in told else ""
                hint = fault.hint if fault.hint not in told else ""
                _finding(table, kind, f"{fault.what} ({fault.code}){cause}", hint, ok=False)
                told.add(fault.hint)
        yield Padding(table, (0, 0, 1, 2), expand=False)
    if gpus:
        yield Text("GPUs", "bold")
        table = _findings()
        for each in gpus:
            _finding(table, each.what, each.seen, each.remedy, ok=each.ok)
        yield Padding(table, (0, 0, 1, 2), expand=False)
    if not auto:
        yield Text('this installation cannot judge: pip install "grader[judge]"', "bold red")
    for kind, name in auto.items():
        if name == "local":
            warning = "it does NOT isolate, so judge only what you would run anyway"
            yield Text(f"{kind} exercises are judged by engine local: {warning}", "bold red")
        elif (name, kind) in faults:
            yield Text(f"{kind} exercises cannot be judged: {name} is chosen and does not work", "bold red")
        else:
            yield Text(f"{kind} exercises are judged by engine {name}")


def _findings() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _finding(table: Table, what: str, seen: str, remedy: str, *, ok: bool) -> None:
    good, bad, _ = _marks()
    told = Text(safe(seen))
    if remedy:
        told.append(f"\nhint: {safe(remedy)}", "bold")
    table.add_row(Text(good, "green") if ok else Text(bad, "red"), Text(what), told)
