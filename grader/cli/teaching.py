"""Arguments, options and help texts of the commands for courses; see `grader.cli.app`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from grader.cli.app import AsJson, Server, app, command
from grader.formats import BookFormat

course = typer.Typer(name="course", help="Courses, their rosters and appeals.", no_args_is_help=True)
app.add_typer(course)
assignment = typer.Typer(name="assignment", help="What a course sets, until when.", no_args_is_help=True)
app.add_typer(assignment)

Course = Annotated[str, typer.Argument(metavar="COURSE", help="Its name.", show_default=False)]
Assignment = Annotated[str, typer.Argument(metavar="COURSE/ASSIGNMENT", help="As `dl-101/hw1`.", show_default=False)]
Exercises = Annotated[
    list[str] | None,
    typer.Argument(metavar="EXERCISE[:POINTS]...", help="What is set; 10 points unless said.", show_default=False),
]
Title = Annotated[str | None, typer.Option(help="One line that names it to a person.")]
Opens = Annotated[
    str | None, typer.Option(metavar="TIME", help="'2026-10-05 18:00', in the course's zone; none for at once.")
]
Due = Annotated[str | None, typer.Option(metavar="TIME", help="After it, work is late; none for never.")]
Closes = Annotated[str | None, typer.Option(metavar="TIME", help="After it, nothing is taken; none for never.")]
Late = Annotated[
    str | None, typer.Option(metavar="POLICY", help="none, closed, 10%/day, 5%/hour, or '10%/day floor 50%'.")
]
Attempts = Annotated[
    int | None, typer.Option(min=0, help="For each exercise, 0 for any number; faults of ours cost none.")
]
Cooldown = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Between submissions of an exercise: 90s, 10m, 2h, 1d.")
]
Disclosure = Annotated[
    str | None, typer.Option(help="When learners see results of hidden tests: never, after_due, always.")
]
Rules = Annotated[
    list[str] | None,
    typer.Option("--disclose", metavar="EXERCISE:TEST=RULE", help="For one test otherwise; once for each."),
]
Tokens = Annotated[int | None, typer.Option(min=0, help="How many reports a learner may have shown whole.")]
TokenTime = Annotated[
    str | None, typer.Option("--token-back", metavar="DURATION", help="A spent token comes back after it; 0 never.")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
Cohort = Annotated[str, typer.Option(help="Only this cohort.")]


@command("new", course)
def course_new(
    name: Course,
    *,
    title: Annotated[str, typer.Option(help="One line that names it to a person.")] = "",
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="In which its times are told: Europe/Berlin.")] = "UTC",
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Add a course."""
    from grader.cli import courses  # noqa: PLC0415 - keeps `--help` quick

    return courses.new_course(name, title, timezone, server, json=json)


@command("list", course)
def course_list(*, server: Server = "", json: AsJson = False) -> int:
    """List the courses that you teach or are in."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.list_courses(server, json=json)


@command("show", course)
def course_show(name: Course, *, server: Server = "", json: AsJson = False) -> int:
    """Show a course and its assignments."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.show_course(name, server, json=json)


@command("roster", course)
def course_roster(
    name: Course,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="CSV, GitHub Classroom's roster or OneRoster's users.csv; without it the roster is shown.",
            show_default=False,
        ),
    ] = None,
    *,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Import the lines without a problem.")] = False,
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="Who is not in the file leaves the course; their work stays.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing, show what would change.")] = False,
    cohort: Cohort = "",
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Import a roster, or show it. Nothing is stored unless every line is right."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.roster(
        name, file, cohort, server, skip_bad=skip_bad, let_go=remove_missing, dry_run=dry_run, json=json
    )


@command("appeals", course)
def course_appeals(name: Course, *, server: Server = "", json: AsJson = False) -> int:
    """List requests to look at a grade again, open ones first."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.list_appeals(name, server, json=json)


@command("answer", course)
def course_answer(
    name: Course,
    appeal: Annotated[str, typer.Argument(metavar="APPEAL", help="Its id.")],
    *,
    accept: Annotated[bool, typer.Option("--accept/--decline", help="What becomes of it.", show_default=False)],
    text: Annotated[str, typer.Option(help="What to tell the learner.")] = "",
    server: Server = "",
) -> int:
    """Answer a request to look at a grade again."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.answer(name, appeal, text, server, accept=accept)


def _options(**given: Any) -> dict[str, Any]:
    return given


@command("new", assignment)
def assignment_new(
    name: Assignment,
    exercises: Exercises = None,
    *,
    title: Title = None,
    opens: Opens = None,
    due: Due = None,
    closes: Closes = None,
    late: Late = None,
    attempts: Attempts = None,
    cooldown: Cooldown = None,
    disclosure: Disclosure = None,
    disclose: Rules = None,
    tokens: Tokens = None,
    token_back: TokenTime = None,
    publish: Annotated[bool, typer.Option("--publish", help="Let learners see it at once.")] = False,
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Set exercises to a course. Learners see it once it is published."""
    from grader.cli import courses  # noqa: PLC0415

    options = _options(
        title=title,
        opens_at=opens,
        due_at=due,
        closes_at=closes,
        late=late,
        attempts=attempts,
        cooldown_seconds=cooldown,
        disclosure=disclosure,
        tokens=tokens,
        token_seconds=token_back,
        published=publish or None,
    )
    return courses.new_assignment(name, exercises or [], disclose or [], options, server, json=json)


@command("set", assignment)
def assignment_set(
    name: Assignment,
    exercises: Exercises = None,
    *,
    title: Title = None,
    opens: Opens = None,
    due: Due = None,
    closes: Closes = None,
    late: Late = None,
    attempts: Attempts = None,
    cooldown: Cooldown = None,
    disclosure: Disclosure = None,
    disclose: Rules = None,
    tokens: Tokens = None,
    token_back: TokenTime = None,
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Change an assignment. What was sent is graded by the new rules."""
    from grader.cli import courses  # noqa: PLC0415

    options = _options(
        title=title,
        opens_at=opens,
        due_at=due,
        closes_at=closes,
        late=late,
        attempts=attempts,
        cooldown_seconds=cooldown,
        disclosure=disclosure,
        tokens=tokens,
        token_seconds=token_back,
    )
    return courses.change_assignment(name, exercises or [], disclose or [], options, server, json=json)


@command("publish", assignment)
def assignment_publish(
    name: Assignment,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Hide it again, as long as nothing was sent for it.")] = False,
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Let learners see an assignment."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.change_assignment(name, [], [], _options(published=not undo), server, json=json)


@command("show", assignment)
def assignment_show(name: Assignment, *, server: Server = "", json: AsJson = False) -> int:
    """Show an assignment, to a learner as it is for them."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.show_assignment(name, server, json=json)


@command("extend")
@command("extend", assignment)
def extend(
    name: Assignment,
    logins: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LOGIN]...", help="Whom; with none, what was granted is shown.", show_default=False),
    ] = None,
    *,
    due: Due = None,
    closes: Closes = None,
    attempts: Annotated[int | None, typer.Option(min=0, help="How many more, for each exercise.")] = None,
    reason: Reason = "",
    cohort: Cohort = "",
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Grant learners more time or attempts.

    It takes the place of what they were granted before; `--attempts 0` alone takes that back.
    """
    from grader.cli import courses  # noqa: PLC0415

    options = _options(due_at=due, closes_at=closes, attempts=attempts, reason=reason)
    return courses.extend(name, logins or [], cohort, options, server, json=json)


@command("override", assignment)
def assignment_override(
    name: Assignment,
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", help="Its name.")],
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="Whose score.")],
    score: Annotated[str, typer.Argument(metavar="SCORE", help="In points, or none to take back what was set.")],
    *,
    reason: Reason,
    server: Server = "",
) -> int:
    """Set a learner's score. The audit trail keeps what it was."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.override(name, exercise, login, score, reason, server)


@command("gradebook")
def gradebook(
    name: Annotated[
        str, typer.Argument(metavar="COURSE[/ASSIGNMENT]", help="A course, or one assignment.", show_default=False)
    ],
    *,
    form: Annotated[BookFormat | None, typer.Option("--format", help="Write it for a platform.")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Fill it into this file of canvas or moodle.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; else standard output.")
    ] = None,
    bom: Annotated[bool, typer.Option("--bom", help="Tell Excel that the CSV is UTF-8.")] = False,
    cohort: Cohort = "",
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Show grades: raw score less penalty. With --format, as a file that a platform reads."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.gradebook(name, form, cohort, into, output, server, bom=bom, json=json)


@command("similar")
def similar(
    name: Assignment,
    exercise: Annotated[str, typer.Argument(metavar="[EXERCISE]", help="One of it; with none, all.")] = "",
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="At most so many matches of each.")] = 20,
    server: Server = "",
    json: AsJson = False,
) -> int:
    """Show whose submissions share code that others lack, side by side, for you to look at. It is no verdict."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.similar(name, exercise, limit, server, json=json)


@command("release")
def release(
    submission: Annotated[str, typer.Argument(metavar="ID", help="The submission.")], *, server: Server = ""
) -> int:
    """Spend a release token, so that the report of a submission is shown whole."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.release(submission, server)


@command("appeal")
def appeal(
    submission: Annotated[str, typer.Argument(metavar="ID", help="The submission.")],
    *,
    reason: Reason,
    server: Server = "",
) -> int:
    """Ask that the grade of a submission be looked at again."""
    from grader.cli import courses  # noqa: PLC0415

    return courses.appeal(submission, reason, server)
