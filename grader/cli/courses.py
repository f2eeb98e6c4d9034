"""What `course`, `assignment`, `gradebook`, `extend`, `release` and `appeal` do.

Where a server is configured its courses are meant (`There`); otherwise those of this machine (`Here`).
"""

import contextlib
import itertools
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlencode

import msgspec

from grader import config, course, exports
from grader import exercise as exercises
from grader.cli import terminal
from grader.cli.client import Client
from grader.cli.students import at_server, need_store
from grader.course import (
    Actor,
    Appeal,
    Assignment,
    Course,
    Extension,
    Gradebook,
    Imported,
    Item,
    Member,
    Mine,
    Override,
)
from grader.errors import NotFound, UsageError
from grader.formats import BookFormat, safe
from grader.similarity import ENOUGH, MOST_BYTES, Block, Similarity, compare

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})([smhd]?)")
_ITEM = re.compile(r"(?P<exercise>[a-z0-9-]+)(?::(?P<points>\d+(?:\.\d+)?))?")
_RULE = re.compile(r"(?P<exercise>[a-z0-9-]+):(?P<test>\w+)=(?P<rule>never|after_due|always)")
_DEFAULT_POINTS = 10.0
_ABSENT = "in the course, not in the file"
_MOST_NAMES = 10
_PAGE = 100


class Here:
    """The courses of this machine: whoever uses it teaches them."""

    def __init__(self, settings: config.Config) -> None:
        """Open the store."""
        need_store()
        from grader.store import open_store  # noqa: PLC0415 - SQLAlchemy is slow
        from grader.store.courses import Courses  # noqa: PLC0415

        self._learner = settings.learner
        self._by = Actor(None, settings.learner)
        self._courses = Courses(open_store(settings.database))

    def courses(self) -> list[Course]:
        """Return the courses that one teaches or is in."""
        return self._courses.list_("")

    def add(self, name: str, title: str, timezone: str) -> Course:
        """Add a course."""
        return self._courses.add("", name, title=title, timezone=timezone, by=self._by)

    def course(self, name: str) -> Course:
        """Return a course."""
        return self._courses.course("", name)

    def roster(self, course: str, cohort: str) -> list[Member]:
        """Return who is in a course, or was."""
        return self._courses.roster("", course, cohort=cohort)

    def import_roster(self, course: str, content: bytes, *, skip_bad: bool, let_go: bool, dry_run: bool) -> Imported:
        """Import a roster."""
        from grader import roster  # noqa: PLC0415 - beside its only use

        read = roster.read(content)
        return self._courses.import_roster(
            "", course, read, skip_bad=skip_bad, let_go=let_go, dry_run=dry_run, by=self._by
        )

    def add_assignment(self, course: str, assignment: Assignment) -> Assignment:
        """Add an assignment."""
        _load(assignment.items)
        return self._courses.add_assignment("", course, assignment, by=self._by)

    def change_assignment(self, course: str, name: str, changes: dict[str, Any]) -> Assignment:
        """Change what is named of an assignment."""
        _load(changes.get("items", []))
        return self._courses.change_assignment("", course, name, changes, by=self._by)

    def assignment(self, course: str, name: str) -> tuple[Assignment, Mine | None]:
        """Return an assignment and, for a learner, what is their own of it."""
        found = self._courses.assignment("", course, name)
        mine = found.published and self._courses.is_member("", course, self._learner)
        return found, self._courses.mine("", course, name, self._learner) if mine else None

    def extensions(self, course: str, name: str) -> list[Extension]:
        """Return what learners were granted."""
        return self._courses.extensions("", course, name)

    def extend(self, course: str, name: str, extension: Extension) -> None:
        """Grant something to a learner."""
        self._courses.extend("", course, name, extension, by=self._by)

    def override(self, course: str, name: str, override: Override) -> None:
        """Set a score."""
        self._courses.override("", course, name, override, by=self._by)

    def gradebook(self, course: str, assignment: str, cohort: str) -> Gradebook:
        """Return grades: all of those who teach may see, one's own for a learner."""
        return self._courses.gradebook("", course, assignment=assignment, cohort=cohort)

    def similarity(self, course: str, name: str, exercise: str, limit: int) -> Similarity:
        """Return whose submissions for an exercise share code that others lack."""
        files = self._courses.sources("", course, name, exercise, most_bytes=MOST_BYTES)
        known = exercises.load(exercise)
        with terminal.Progress(exercise) as progress:
            given = [known.starter.encode(), known.reference.read_bytes()]
            return compare(files, given, most=limit, tell=progress.phase)

    def appeals(self, course: str) -> list[Appeal]:
        """Return appeals, for a learner their own."""
        return self._courses.appeals("", course)

    def answer(self, course: str, appeal: str, *, accept: bool, answer: str) -> Appeal:
        """Answer an appeal."""
        return self._courses.answer("", course, appeal, accept=accept, answer=answer, by=self._by)

    def appeal(self, submission: str, reason: str) -> list[Appeal]:
        """Ask that a grade be looked at again."""
        return self._courses.appeal(submission, self._learner, reason)

    def release(self, submission: str) -> int:
        """Spend a token; return how many are left."""
        return self._courses.release(submission, self._learner)


class _Courses(msgspec.Struct):
    courses: list[Course]


class _Members(msgspec.Struct):
    members: list[Member]


class _Extensions(msgspec.Struct):
    extensions: list[Extension]


class _Appeals(msgspec.Struct):
    appeals: list[Appeal]


class _Released(msgspec.Struct):
    tokens_left: int


class There:
    """The courses of a server."""

    def __init__(self, client: Client) -> None:
        """Ask it by this client."""
        self._client = client

    def courses(self) -> list[Course]:
        """See `Here`."""
        return self._client.get("/v1/courses", _Courses).courses

    def add(self, name: str, title: str, timezone: str) -> Course:
        """See `Here`."""
        return self._client.send("POST", "/v1/courses", Course, {"name": name, "title": title, "timezone": timezone})

    def course(self, name: str) -> Course:
        """See `Here`."""
        return self._client.get(_path(name), Course)

    def roster(self, course: str, cohort: str) -> list[Member]:
        """See `Here`."""
        return self._client.get(f"{_path(course)}/roster?{urlencode({'cohort': cohort})}", _Members).members

    def import_roster(self, course: str, content: bytes, *, skip_bad: bool, let_go: bool, dry_run: bool) -> Imported:
        """See `Here`."""
        body = {"content": content, "skip_bad": skip_bad, "let_go": let_go, "dry_run": dry_run}
        return self._client.send("POST", f"{_path(course)}/roster", Imported, body)

    def add_assignment(self, course: str, assignment: Assignment) -> Assignment:
        """See `Here`."""
        return self._client.send("POST", f"{_path(course)}/assignments", Assignment, assignment)

    def change_assignment(self, course: str, name: str, changes: dict[str, Any]) -> Assignment:
        """See `Here`."""
        return self._client.send("PUT", _path(course, name), Assignment, changes)

    def assignment(self, course: str, name: str) -> tuple[Assignment, Mine | None]:
        """See `Here`."""
        told = self._client.get(_path(course, name), dict[str, Any])
        found = msgspec.convert(told, Assignment)
        mine = told.get("mine")
        return found, msgspec.convert({**mine, "assignment": told}, Mine) if mine else None

    def extensions(self, course: str, name: str) -> list[Extension]:
        """See `Here`."""
        return self._client.get(f"{_path(course, name)}/extensions", _Extensions).extensions

    def extend(self, course: str, name: str, extension: Extension) -> None:
        """See `Here`."""
        body = msgspec.to_builtins(extension)
        login = quote(body.pop("login"), safe="")
        self._client.send("PUT", f"{_path(course, name)}/extensions/{login}", Extension, body)

    def override(self, course: str, name: str, override: Override) -> None:
        """See `Here`."""
        self._client.send("PUT", f"{_path(course, name)}/overrides", Override, override)

    def gradebook(self, course: str, assignment: str, cohort: str) -> Gradebook:
        """See `Here`."""
        asked = {"assignment": assignment, "cohort": cohort, "limit": _PAGE}
        page = self._client.get(f"{_path(course)}/gradebook?{urlencode(asked)}", Gradebook)
        lines = list(page.lines)
        while page.next is not None:
            asked["after"] = page.next
            page = self._client.get(f"{_path(course)}/gradebook?{urlencode(asked)}", Gradebook)
            lines += page.lines
        return msgspec.structs.replace(page, lines=lines)

    def similarity(self, course: str, name: str, exercise: str, limit: int) -> Similarity:
        """See `Here`."""
        asked = urlencode({"exercise": exercise, "limit": limit})
        with terminal.Progress(exercise) as progress:
            progress.phase("the server compares")
            return self._client.get(f"{_path(course, name)}/similarity?{asked}", Similarity)

    def appeals(self, course: str) -> list[Appeal]:
        """See `Here`."""
        return self._client.get(f"{_path(course)}/appeals", _Appeals).appeals

    def answer(self, course: str, appeal: str, *, accept: bool, answer: str) -> Appeal:
        """See `Here`."""
        path = f"{_path(course)}/appeals/{quote(appeal, safe='')}"
        return self._client.send("POST", path, Appeal, {"accept": accept, "answer": answer})

    def appeal(self, submission: str, reason: str) -> list[Appeal]:
        """See `Here`."""
        path = f"/v1/submissions/{quote(submission, safe='')}/appeal"
        return self._client.send("POST", path, _Appeals, {"reason": reason}).appeals

    def release(self, submission: str) -> int:
        """See `Here`."""
        path = f"/v1/submissions/{quote(submission, safe='')}/release"
        return self._client.send("POST", path, _Released).tokens_left


def _path(course: str, assignment: str = "") -> str:
    path = f"/v1/courses/{quote(course, safe='')}"
    return f"{path}/assignments/{quote(assignment, safe='')}" if assignment else path


def _load(items: list[Item]) -> None:
    for item in items:
        course.check_rules(item, exercises.load(item.exercise).test_names())


@contextlib.contextmanager
def desk(server: str) -> Iterator[Here | There]:
    """Give the courses of the server in force, or of this machine."""
    with at_server(server) as remote:
        yield There(remote.client) if remote else Here(config.read())


# What is written on the command line


def split(text: str) -> tuple[str, str]:
    """Return course and assignment of `COURSE/ASSIGNMENT`. Raises UsageError E2301."""
    name, slash, assignment = text.partition("/")
    if not slash or not name or not assignment:
        raise UsageError(
            "E2301", f"{text!r} names no assignment", cause="it is COURSE/ASSIGNMENT", hint="for example dl-101/hw1"
        )
    return name, assignment


def duration(text: str) -> int:
    """Read `90`, `90s`, `10m`, `2h` or `1d` as seconds. Raises UsageError E2304."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError("E2304", f"{text!r} is not a duration", cause="a number and s, m, h or d", hint="10m, 24h")
    return int(found[1]) * _UNITS[found[2]]


def items(texts: list[str], rules: list[str]) -> list[Item]:
    """Read `softmax:10` and `softmax:test_name=never`. Raises UsageError E2307."""
    made: dict[str, Item] = {}
    for text in texts:
        found = _ITEM.fullmatch(text)
        if found is None or found["exercise"] in made:
            cause = "it is there twice" if found else "it is EXERCISE or EXERCISE:POINTS"
            raise UsageError("E2307", f"{text!r} is no exercise to set", cause=cause, hint="for example softmax:10")
        points = float(found["points"]) if found["points"] else _DEFAULT_POINTS
        made[found["exercise"]] = Item(exercise=found["exercise"], points=points)
    return _with_rules(made, rules)


def _with_rules(items: dict[str, Item], rules: list[str]) -> list[Item]:
    for text in rules:
        found = _RULE.fullmatch(text)
        if found is None or found["exercise"] not in items:
            cause = "it is EXERCISE:TEST=RULE, and the rule never, after_due or always"
            if found is not None:
                cause = f"{found['exercise']} is no exercise of the assignment"
            raise UsageError("E2307", f"{text!r} is no rule for a test", cause=cause, hint="softmax:test_large=never")
        item = items[found["exercise"]]
        own = item.disclosure | {found["test"]: msgspec.convert(found["rule"], course.Disclosure)}
        items[item.exercise] = msgspec.structs.replace(item, disclosure=own)
    return list(items.values())


def changes(texts: dict[str, Any], timezone: str) -> dict[str, Any]:
    """Return what options change of an assignment; those that were not given are None and stay out."""
    made: dict[str, Any] = {}
    for name, value in texts.items():
        if value is None:
            continue
        if name in {"opens_at", "due_at", "closes_at"}:
            made[name] = None if value == "none" else course.moment(value, course.zone(timezone))
        elif name in {"cooldown_seconds", "token_seconds"}:
            made[name] = duration(value)
        elif name == "attempts":
            made[name] = value or None
        elif name == "disclosure" and value not in get_args(course.Disclosure):
            rules = ", ".join(get_args(course.Disclosure))
            raise UsageError(
                "E2307", f"{value!r} is no rule of disclosure", cause="there is none", hint=f"one of {rules}"
            )
        else:
            made[name] = value
    return made


# The commands


def new_course(name: str, title: str, timezone: str, server: str, *, json: bool) -> int:
    """Add a course."""
    with desk(server) as at:
        made = at.add(name, title, timezone)
    if json:
        terminal.answer_json({"schema": "grader/course/1", **msgspec.to_builtins(made)})
    else:
        terminal.answer(made.name)
        terminal.hint(f"grader course roster {made.name} FILE.csv")
    return 0


def list_courses(server: str, *, json: bool) -> int:
    """Print the courses that one teaches or is in."""
    with desk(server) as at:
        found = at.courses()
    if json:
        terminal.answer_json({"schema": "grader/courses/1", "courses": found})
        return 0
    _print(
        (each.name, each.title or "-", _count(each.members, "learner"), _count(len(each.assignments), "assignment"))
        for each in found
    )
    return 0


def show_course(name: str, server: str, *, json: bool) -> int:
    """Print a course and its assignments."""
    with desk(server) as at:
        found = at.course(name)
        set_ = [at.assignment(name, each) for each in found.assignments]
    if json:
        listed = [assignment for assignment, _ in set_]
        terminal.answer_json({"schema": "grader/course/1", **msgspec.to_builtins(found), "assignments": listed})
        return 0
    where = course.zone(found.timezone)
    rows: list[Sequence[str]] = [(found.name, found.title or "-", _count(found.members, "learner"), found.timezone)]
    for assignment, mine in set_:
        due = mine.due_at if mine else assignment.due_at
        rows.append(
            (
                f"{name}/{assignment.name}",
                assignment.title or "-",
                _count(assignment.points, "point"),
                f"due {course.told(due, where)}" if due else "never due",
                "published" if assignment.published else "draft",
            )
        )
    _print(rows)
    return 0


def roster(  # noqa: PLR0913  each option by its name
    name: str, file: Path | None, cohort: str, server: str, *, skip_bad: bool, let_go: bool, dry_run: bool, json: bool
) -> int:
    """Import a roster, or print the one that is there."""
    if file is None:
        return _show_roster(name, cohort, server, json=json)
    content = _read(file)
    with desk(server) as at:
        told = at.import_roster(name, content, skip_bad=skip_bad, let_go=let_go, dry_run=dry_run)
    if json:
        terminal.answer_json({"schema": "grader/roster-import/1", **msgspec.to_builtins(told)})
    else:
        _print_import(file, told)
    others = len(told.added) + len(told.updated) + told.unchanged
    if told.problems and not told.stored and not dry_run:
        raise UsageError(
            "E2302",
            f"nothing of {file.name} was stored",
            cause=f"it has {_count(len(told.problems), 'problem')}, the first in line {told.problems[0].line}",
            hint=f"mend them, or import the other {_count(others, 'line')} with --skip-bad" if others else "mend them",
        )
    if told.problems and let_go:
        terminal.hint("nobody left the course: with lines left out, the file does not tell who is missing")
    elif told.missing and not told.left and not dry_run:
        terminal.hint("who is not in the file stays in the course; --remove-missing lets them go, and keeps their work")
    elif told.stored:
        terminal.hint(f"grader assignment new {name}/hw1 softmax:10 --due 'YYYY-MM-DD 18:00'")
    return 0


def _print_import(file: Path, told: Imported) -> None:
    """Print each problem, the remedy with the first of those that share it, and what became of the others."""
    for before, problem in zip([None, *told.problems], told.problems, strict=False):
        remedy = f"; {problem.hint}" if before is None or before.hint != problem.hint else ""
        terminal.answer(_clean(f"{file}:{problem.line}: {problem.what}{remedy}"))
    counts = f"{len(told.added)} added, {len(told.updated)} updated, {told.unchanged} unchanged"
    if told.stored:
        left = f", {len(told.missing)} left the course" if told.left else ""
        terminal.answer(f"{counts}{left}{', the lines above left out' if told.problems else ''}")
    elif told.added or told.updated or told.unchanged:
        terminal.answer(f"{'with --skip-bad' if told.problems else 'would be'}: {counts}")
    if told.missing and not told.problems:
        terminal.say(f"{_ABSENT}: {_some(told.missing)}")


def _show_roster(name: str, cohort: str, server: str, *, json: bool) -> int:
    with desk(server) as at:
        found = at.roster(name, cohort)
    if json:
        terminal.answer_json({"schema": "grader/roster/1", "course": name, "members": found})
        return 0
    people = ((each.person, "left" if each.left_at else "-") for each in found)
    _print(
        (who.login, who.name, who.cohort or "-", who.identifier or "-", who.email or "-", state)
        for who, state in people
    )
    return 0


def new_assignment(
    text: str, exercises_: list[str], rules: list[str], options: dict[str, Any], server: str, *, json: bool
) -> int:
    """Add an assignment."""
    name, assignment = split(text)
    with desk(server) as at:
        timezone = at.course(name).timezone
        made = at.add_assignment(
            name, Assignment(name=assignment, items=items(exercises_, rules), **changes(options, timezone))
        )
        others = _others(at, name, made)
    _print_assignment(name, timezone, made, None, json=json)
    _tell_overlaps(name, made, others)
    if not made.published:
        terminal.hint(f"learners do not see it yet: grader assignment publish {text}")
    return 0


def change_assignment(
    text: str, exercises_: list[str], rules: list[str], options: dict[str, Any], server: str, *, json: bool
) -> int:
    """Change what is named of an assignment; exercises are added, or get other points."""
    name, assignment = split(text)
    with desk(server) as at:
        timezone = at.course(name).timezone
        wanted = changes(options, timezone)
        if exercises_ or rules:
            there, _ = at.assignment(name, assignment)
            new = {item.exercise: item for item in items(exercises_, [])}
            own = {item.exercise: item.disclosure for item in there.items}
            merged = {item.exercise: item for item in there.items} | new
            kept = {
                exercise: msgspec.structs.replace(item, disclosure=own.get(exercise, {}))
                for exercise, item in merged.items()
            }
            wanted["items"] = _with_rules(kept, rules)
        made = at.change_assignment(name, assignment, wanted)
        others = _others(at, name, made)
    _print_assignment(name, timezone, made, None, json=json)
    _tell_overlaps(name, made, others)
    return 0


def _others(at: Here | There, name: str, made: Assignment) -> list[Assignment]:
    """Return the course's other assignments, where learners see this one."""
    names = at.course(name).assignments if made.published else []
    return [at.assignment(name, each)[0] for each in names if each != made.name]


def _tell_overlaps(name: str, made: Assignment, others: list[Assignment]) -> None:
    for other in others:
        both = course.overlap(made, other) if other.published else []
        if both:
            terminal.hint(
                f"{', '.join(both)}: {name}/{made.name} and {name}/{other.name} are open at the same time; "
                "a submission counts, and uses an attempt, in both"
            )


def show_assignment(text: str, server: str, *, json: bool) -> int:
    """Print an assignment."""
    name, assignment = split(text)
    with desk(server) as at:
        timezone = at.course(name).timezone
        found, mine = at.assignment(name, assignment)
    _print_assignment(name, timezone, found, mine, json=json)
    return 0


def _print_assignment(name: str, timezone: str, found: Assignment, mine: Mine | None, *, json: bool) -> None:
    if json:
        told = {"schema": "grader/assignment/1", "course": name, **msgspec.to_builtins(found)}
        if mine is not None:
            told["mine"] = {key: each for key, each in msgspec.to_builtins(mine).items() if key != "assignment"}
        terminal.answer_json(told)
        return
    where = course.zone(timezone)
    due, closes = (mine.due_at, mine.closes_at) if mine else (found.due_at, found.closes_at)
    rows = [
        ("assignment", f"{name}/{found.name}" + (f" ({found.title})" if found.title else "")),
        ("state", "published" if found.published else "draft"),
        ("opens", course.told(found.opens_at, where) if found.opens_at else "at once"),
        ("due", course.told(due, where) if due else "never"),
        ("closes", course.told(closes, where) if closes else "never"),
        ("late", found.late),
        ("attempts", f"{found.attempts} for each exercise" if found.attempts else "any number"),
        ("cooldown", _span(found.cooldown_seconds) if found.cooldown_seconds else "none"),
        ("disclosure", found.disclosure),
    ]
    if found.tokens:
        back = f", each back after {_span(found.token_seconds)}" if found.token_seconds else ""
        left = f", {mine.tokens_left} left" if mine else ""
        rows.append(("release tokens", f"{found.tokens}{left}{back}"))
    for item in found.items:
        told_ = [item.exercise, _count(item.points, "point")]
        attempts_left = mine.attempts_left.get(item.exercise) if mine else None
        told_ += [] if attempts_left is None else [f"{_count(attempts_left, 'attempt')} left"]
        told_ += [f"{test}={rule}" for test, rule in item.disclosure.items()]
        rows.append(("exercise", ", ".join(told_)))
    _print(rows)


def extend(text: str, logins: list[str], cohort: str, options: dict[str, Any], server: str, *, json: bool) -> int:
    """Grant learners later times or more attempts; or, naming nobody, print what was granted."""
    name, assignment = split(text)
    if (logins or cohort) and not any(options[key] is not None for key in ("due_at", "closes_at", "attempts")):
        hint = f"--due, --closes or --attempts; what was granted is shown by: grader extend {text}"
        raise UsageError("E2307", "an extension grants something", cause="nothing was named", hint=hint)
    with desk(server) as at:
        timezone = at.course(name).timezone
        if cohort:
            members = [each.person.login for each in at.roster(name, cohort) if each.left_at is None]
            if not members:
                hint = f"grader course roster {name}"
                raise NotFound("E5107", f"no cohort {cohort!r} in {name}", cause="nobody is in it", hint=hint)
            logins = [*logins, *members]
        granted = changes({key: value for key, value in options.items() if key not in {"attempts", "reason"}}, timezone)
        granted |= {"more_attempts": options["attempts"] or 0, "reason": options["reason"]}
        for login in dict.fromkeys(logins):
            at.extend(name, assignment, Extension(login=login, **granted))
        found = at.extensions(name, assignment)
    if json:
        terminal.answer_json({"schema": "grader/extensions/1", "assignment": text, "extensions": found})
        return 0
    if not found:
        terminal.say(f"nobody has an extension of {text}")
    where = course.zone(timezone)
    _print(
        (
            each.login,
            f"due {course.told(each.due_at, where)}" if each.due_at else "-",
            f"closes {course.told(each.closes_at, where)}" if each.closes_at else "-",
            f"{_count(each.more_attempts, 'attempt')} more" if each.more_attempts else "-",
            each.reason or "-",
        )
        for each in found
    )
    return 0


def override(text: str, exercise: str, login: str, score: str, reason: str, server: str) -> int:
    """Set a score, or take it back."""
    name, assignment = split(text)
    try:
        value = None if score == "none" else float(score)
    except ValueError:
        hint = "give points, or `none` to take back what was set"
        raise UsageError("E2307", f"{score!r} is not a score", cause="it is no number", hint=hint) from None
    with desk(server) as at:
        at.override(name, assignment, Override(login=login, exercise=exercise, score=value, reason=reason))
    has = "what was reached" if value is None else score
    terminal.say(f"{login} has {has} for {exercise} in {text}; the audit trail keeps what it was")
    return 0


def gradebook(  # noqa: PLR0913  each option by its name
    text: str,
    form: BookFormat | None,
    cohort: str,
    into: Path | None,
    output: Path | None,
    server: str,
    *,
    bom: bool,
    json: bool,
) -> int:
    """Print grades, write them in a platform's form, or fill them into its file."""
    name, _, assignment = text.partition("/")
    if into is not None and form not in exports.FILLED:
        cause = "--into takes a file of Canvas or Moodle"
        raise UsageError("E2306", "there is no file to fill in", cause=cause, hint="--format canvas --into EXPORT.csv")
    with desk(server) as at:
        book = at.gradebook(name, assignment, cohort)
    if into is not None and form is not None:
        filled = exports.fill(book, form, _read(into))
        _write(filled.text, output)
        terminal.say(f"{_count(filled.filled, 'learner')} filled in")
        for what, names in (("in the file, not in the course", filled.unknown), (_ABSENT, filled.absent)):
            if names:
                terminal.say(f"{what}: {_some(names)}")
        return 0
    if form is not None:
        _write(exports.write(book, form, bom=bom), output)
        return 0
    if json:
        terminal.answer_json({"schema": "grader/gradebook/1", **msgspec.to_builtins(book)})
        return 0
    headings = [f"{column.assignment}/{column.exercise}" for column in book.columns]
    lines = (
        (line.person.login, line.person.name, *map(_cell, line.cells), exports.number(line.score))
        for line in book.lines
    )
    _print([("login", "name", *headings, f"of {exports.number(book.points)}"), *lines])
    return 0


def _cell(cell: course.Cell | None) -> str:
    if cell is None:
        return "-"
    if not cell.submission and not cell.overridden:
        return "?"
    marks = ("*" if cell.overridden else "") + ("late" if cell.late_seconds else "")
    return f"{exports.number(cell.score)}{f' {marks}' if marks else ''}"


def similar(text: str, exercise: str, limit: int, server: str, *, json: bool) -> int:
    """Print whose submissions share code that others lack, side by side, beside what is usual for the exercise."""
    name, assignment = split(text)
    with desk(server) as at:
        chosen = [exercise] if exercise else [item.exercise for item in at.assignment(name, assignment)[0].items]
        found = {each: at.similarity(name, assignment, each, limit) for each in chosen}
    if json:
        terminal.answer_json({"schema": "grader/similarity/1", "assignment": text, "exercises": found})
        return 0
    terminal.answer("places to look at, no verdict: a short exercise has few honest solutions")
    for each, told in found.items():
        _print_similarity(f"{text} {each}", told)
    return 0


def _print_similarity(title: str, told: Similarity) -> None:
    files, usual = _count(told.files, "file"), told.usual
    terminal.answer(f"{title}: {files}, {_count(told.pairs, 'pair')}; what more than {told.common} share is left out")
    if usual is None:
        terminal.answer(f"what is usual cannot be told from fewer than {ENOUGH} files")
    else:
        terminal.answer(
            f"usual for a pair: half at most {usual.pairs_50:.0%}, 95 of 100 {usual.pairs_95:.0%}, "
            f"99 of 100 {usual.pairs_99:.0%}"
        )
        terminal.answer(
            f"usual for a file and the one nearest to it: half at most {usual.nearest_50:.0%}, "
            f"95 of 100 {usual.nearest_95:.0%}"
        )
    if not told.most:
        terminal.answer("no two share anything that others lack")
    for match in told.most:
        terminal.answer(f"\n{_some(match.first)} | {_some(match.second)}")
        terminal.answer(
            f"  share {match.share:.0%} ({_count(match.shared, 'fingerprint')}); "
            f"of {_count(match.others, 'other pair')}, {match.as_similar:,} share as much"
        )
        for block in match.blocks:
            terminal.answer(f"  {_count(block.tokens, 'token')}")
            _print_block(block)


def _print_block(block: Block) -> None:
    """Print lines side by side: each within half of a terminal; elsewhere with tabs between."""
    rows = [(str(row.first or ""), safe(row.left), str(row.second or ""), safe(row.right)) for row in block.rows]
    if not sys.stdout.isatty():
        for row in rows:
            terminal.answer("\t".join(("", *row)))
        return
    from rich.cells import chop_cells, set_cell_size  # noqa: PLC0415 - slow

    digits = max(len(number) for row in rows for number in row[::2])
    half = max(10, (shutil.get_terminal_size().columns - 2 * digits - 6) // 2)
    for first, left, second, right in rows:
        parts = itertools.zip_longest(chop_cells(left, half) or [""], chop_cells(right, half), fillvalue="")
        for nth, (one, two) in enumerate(parts):
            a, b = (f"{'' if nth else number:>{digits}}" for number in (first, second))
            terminal.answer(f"  {a} {set_cell_size(one, half)}  {b} {two}".rstrip())


def list_appeals(name: str, server: str, *, json: bool) -> int:
    """Print appeals, open ones first."""
    with desk(server) as at:
        found = at.appeals(name)
    if json:
        terminal.answer_json({"schema": "grader/appeals/1", "course": name, "appeals": found})
        return 0
    _print(
        (each.id, each.state, f"{name}/{each.assignment}", each.exercise, each.login, each.submission, each.reason)
        for each in found
    )
    return 0


def answer(name: str, appeal: str, text: str, server: str, *, accept: bool) -> int:
    """Answer an appeal."""
    with desk(server) as at:
        done = at.answer(name, appeal, accept=accept, answer=text)
    terminal.say(f"appeal {done.id} is {done.state}")
    if accept:
        where = f"{name}/{done.assignment} {done.exercise} {done.login}"
        terminal.hint(
            f"it changes no score: grader rejudge {done.submission}, or grader assignment override {where} SCORE"
        )
    return 0


def appeal(submission: str, reason: str, server: str) -> int:
    """Ask that a grade be looked at again."""
    with desk(server) as at:
        made = at.appeal(submission, reason)
    _print((each.id, each.state, each.assignment, each.exercise) for each in made)
    return 0


def release(submission: str, server: str) -> int:
    """Spend a token on a submission's full report."""
    with desk(server) as at:
        left = at.release(submission)
    terminal.say(f"the report of {submission} is shown whole; {_count(left, 'token')} left")
    terminal.hint(f"grader results {submission}")
    return 0


def _print(rows: Iterable[Sequence[str]]) -> None:
    """Print rows: in columns on a terminal, elsewhere with tabs between."""
    cleaned = [[_clean(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cleaned:
            terminal.answer("\t".join(row))
        return
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 - slow

    widths = [max(map(cell_len, column)) for column in itertools.zip_longest(*cleaned, fillvalue="")]
    for row in cleaned:
        padded = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=False))
        terminal.answer("  ".join(padded).rstrip())


def _count(number: float, what: str) -> str:
    text = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{text} {what}{'' if number == 1 else 's'}"


def _span(seconds: int) -> str:
    """Write a duration as it is given: `90s`, `10m`, `2h`, `1d`."""
    unit, size = max(((unit, size) for unit, size in _UNITS.items() if seconds % size == 0), key=lambda each: each[1])
    return f"{seconds // size}{unit or 's'}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(_clean, names[:_MOST_NAMES])) + more


def _clean(text: str) -> str:
    """Make a text fit for a line: it may come from a roster or a learner."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        hint = "look at the name; - is standard input"
        raise UsageError("E2104", f"{path} cannot be read", cause=error.strerror or str(error), hint=hint) from error


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(text.encode())
    except OSError as error:
        raise UsageError(
            "E2108", f"{output} cannot be written", cause=error.strerror or str(error), hint="choose another --output"
        ) from error
    terminal.answer(str(output))
