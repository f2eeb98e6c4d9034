"""Courses in the store: rosters, assignments, extensions, scores set by hand, what a learner may see, appeals.

Each method is one transaction, and what staff change leaves a line in the audit trail within it. A method that looks
at the time takes `now`; it is the database's clock where that is left out.
"""

import datetime as dt
import itertools
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
from sqlalchemy import LargeBinary, Select, delete, func, select, update
from sqlalchemy.orm import Session

from grader import course as records
from grader.course import Actor, Appeal, Gradebook, Imported, Mine, Person
from grader.errors import LimitReached, NotFound, UsageError
from grader.report import Report
from grader.store import admission, gradebook, writes
from grader.store.course_models import Appeal as AppealRow
from grader.store.course_models import (
    Assignment,
    Course,
    Entry,
    Extension,
    Item,
    Mark,
    Member,
    Override,
    Release,
)
from grader.store.ids import new_id
from grader.store.models import Audit, Base, Learner, Source, Submission
from grader.store.store import Store
from grader.verdict import UNJUDGED

if TYPE_CHECKING:
    from grader.roster import Roster

_AT_ONCE = 500
"""Rows in a statement: SQLite has a limit on parameters."""
_MOST_ITEMS = 200
_FIRST, _LAST = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2000, 2200))
"""Times near the calendar's ends have no local time in some zones."""


class Courses:
    """The courses of a store; `organisation` is empty on a machine without a server."""

    def __init__(self, store: Store) -> None:
        """Share the store's database."""
        self._store = store

    # Courses and rosters

    def add(self, organisation: str, name: str, *, title: str, timezone: str, by: Actor) -> records.Course:
        """Add a course.

        Raises:
            UsageError: E2301 the name is none; E2304 no such time zone; E2118 the name is taken.

        """
        _check_name("course", name)
        records.zone(timezone)
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            made = new_id("c")
            writes.add_new(
                session,
                Course,
                id=made,
                organisation=organisation,
                name=name,
                title=title,
                timezone=timezone,
                created_by=by.name,
                created_at=now,
            )
            row = session.get(Course, made)
            if row is None:
                raise _taken(f"a course {name!r}")
            _record(session, now, by, "course.add", made, name=name)
            return _to_course(session, row)

    def list_(self, organisation: str, *, learner: str | None = None) -> list[records.Course]:
        """Return an organisation's courses by name; those alone that a learner is in, if one is named."""
        query = select(Course).where(Course.organisation == organisation).order_by(Course.name)
        if learner is not None:
            mine = select(Member.course_id).join(Learner, Learner.id == Member.learner_id)
            query = query.where(Course.id.in_(mine.where(Learner.name == learner, Member.left_at.is_(None))))
        with self._store.transaction(writes=False) as session:
            hidden = learner is not None
            return [_to_course(session, row, published=hidden) for row in session.scalars(query).all()]

    def course(self, organisation: str, name: str, *, published: bool = False) -> records.Course:
        """Return a course, with those assignments alone that are `published`, if asked so. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            return _to_course(session, _course(session, organisation, name), published=published)

    def is_member(self, organisation: str, course: str, learner: str) -> bool:
        """Tell whether a learner is in a course; nobody is in one that is not there."""
        query = (
            select(Member.login)
            .join(Course, Course.id == Member.course_id)
            .join(Learner, Learner.id == Member.learner_id)
            .where(
                Course.organisation == organisation,
                Course.name == course,
                Learner.name == learner,
                Member.left_at.is_(None),
            )
        )
        with self._store.transaction(writes=False) as session:
            return session.scalar(query) is not None

    def import_roster(
        self,
        organisation: str,
        course: str,
        roster: "Roster",
        *,
        skip_bad: bool = False,
        let_go: bool = False,
        dry_run: bool = False,
        by: Actor,
    ) -> Imported:
        """Add a roster's people to a course and correct what is known of those who are in it.

        Nothing is stored where a line has a problem, unless bad lines are to be skipped. Nobody is ever removed:
        with `let_go`, whoever the file does not have is in the course no more, and what they sent stays.

        Raises:
            NotFound: E5107 no such course.

        """
        with self._store.transaction(writes=not dry_run) as session:
            row = _course(session, organisation, course)
            there = {each.login: each for each in session.scalars(select(Member).where(Member.course_id == row.id))}
            people, problems = _compatible(roster, there)
            added, updated = [], []
            for person in people:
                known = there.get(person.login)
                if known is None:
                    added.append(person)
                elif known.left_at is not None or gradebook.to_person(known) != person:
                    updated.append(person)
            named = {person.login for person in people} | _logins_of_problems(roster, there)
            missing = sorted(each.login for each in there.values() if each.left_at is None and each.login not in named)
            # To let people go by a file with unreadable lines would let go whom those lines mean.
            leave = let_go and not problems
            stored = not dry_run and bool(people) and (skip_bad or not problems)
            if stored:
                now = writes.now_of(session)
                _add_members(session, row, added, now)
                for person in updated:
                    values = msgspec.structs.asdict(person) | {"left_at": None}
                    _update_member(session, row.id, person.login, values)
                if leave:
                    for login in missing:
                        _update_member(session, row.id, login, {"left_at": now})
                _record(
                    session,
                    now,
                    by,
                    "roster.import",
                    row.id,
                    added=len(added),
                    updated=[person.login for person in updated][:_AT_ONCE],
                    left=missing if leave else [],
                    skipped=len(problems),
                )
            return Imported(
                stored=stored,
                form=roster.form,
                added=[person.login for person in added],
                updated=[person.login for person in updated],
                unchanged=len(people) - len(added) - len(updated),
                missing=missing,
                left=stored and leave,
                problems=problems,
            )

    def roster(self, organisation: str, course: str, *, cohort: str = "") -> list[records.Member]:
        """Return who is in a course, or was, by login. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            row = _course(session, organisation, course)
            query = select(Member).where(Member.course_id == row.id).order_by(Member.login)
            if cohort:
                query = query.where(Member.cohort == cohort)
            return [
                records.Member(person=gradebook.to_person(each), left_at=each.left_at)
                for each in session.scalars(query)
            ]

    # Assignments

    def add_assignment(
        self, organisation: str, course: str, assignment: records.Assignment, *, by: Actor
    ) -> records.Assignment:
        """Add an assignment.

        Raises:
            NotFound: E5107 no such course.
            UsageError: E2301 the name is none; E2305 no late policy; E2307 it does not hold together; E2118 taken.

        """
        _check_name("assignment", assignment.name)
        with self._store.transaction(writes=True) as session:
            owner = _course(session, organisation, course)
            check(assignment, records.zone(owner.timezone))
            now = writes.now_of(session)
            made = new_id("h")
            writes.add_new(
                session,
                Assignment,
                id=made,
                course_id=owner.id,
                name=assignment.name,
                created_at=now,
                **_values(assignment, now),
            )
            row = session.get(Assignment, made)
            if row is None:
                raise _taken(f"an assignment {course}/{assignment.name}")
            _set_items(session, row, assignment.items)
            _record(session, now, by, "assignment.add", made, name=f"{course}/{assignment.name}")
            return _to_assignment(session, row)

    def change_assignment(
        self, organisation: str, course: str, name: str, changes: dict[str, Any], *, by: Actor
    ) -> records.Assignment:
        """Change some fields of an assignment; what was sent is graded by the new rules from now on.

        Raises:
            NotFound: E5107 no such assignment.
            UsageError: E2305, E2307 as for a new one; E2307 also where work was sent for what would go.

        """
        with self._store.transaction(writes=True) as session:
            row = _assignment(session, organisation, course, name, lock=True)
            before = _to_assignment(session, row)
            after = msgspec.structs.replace(before, **changes)
            check(after, _zone(session, row))
            sent = set(session.scalars(select(Entry.exercise).where(Entry.assignment_id == row.id).distinct()))
            gone = sent - {item.exercise for item in after.items}
            if gone or (sent and before.published and not after.published):
                what = f"{min(gone)} cannot leave it" if gone else "it cannot be hidden again"
                raise _unfit(
                    f"{course}/{name}: {what}", "work was sent for it", "close it: grader assignment set --closes"
                )
            now = writes.now_of(session)
            for field, value in _values(after, now).items():
                if field != "published_at" or before.published != after.published:
                    setattr(row, field, value)
            if after.items != before.items:
                _set_items(session, row, after.items)
            if (after.due_at, after.late) != (before.due_at, before.late):
                gradebook.mark(session, row.id)
            told = {key: str(value) for key, value in msgspec.to_builtins(changes).items()}
            _record(session, now, by, "assignment.change", row.id, name=f"{course}/{name}", changes=told)
            session.flush()
            return _to_assignment(session, row)

    def assignment(self, organisation: str, course: str, name: str) -> records.Assignment:
        """Return an assignment. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            return _to_assignment(session, _assignment(session, organisation, course, name))

    def mine(self, organisation: str, course: str, name: str, learner: str, *, now: dt.datetime | None = None) -> Mine:
        """Return a published assignment as it is for one learner. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            row = _assignment(session, organisation, course, name)
            learner_id = session.scalar(select(Learner.id).where(Learner.name == learner)) or ""
            if row.published_at is None:
                raise _unknown(f"assignment {course}/{name}")
            extension = session.get(Extension, (row.id, learner_id))
            due, closes = admission.window(row, extension)
            allowed = admission.attempts(row, extension)
            found = _to_assignment(session, row)
            left: dict[str, int | None] = {}
            for item in found.items:
                values = {"assignment": row.id, "learner": learner_id, "exercise": item.exercise}
                used = len(session.scalars(admission.used(), values).all())
                left[item.exercise] = None if allowed is None else max(0, allowed - used)
            tokens, _ = _tokens(session, row, learner_id, _now(session, now))
            return Mine(assignment=found, due_at=due, closes_at=closes, attempts_left=left, tokens_left=tokens)

    def extend(
        self, organisation: str, course: str, name: str, extension: records.Extension, *, by: Actor
    ) -> records.Extension:
        """Grant one learner later times or more attempts, in the place of what they were granted before.

        Where nothing is granted, what was before is taken back.

        Raises:
            NotFound: E5107 no such assignment, or nobody of that login in the course.
            UsageError: E2307 a time is earlier than for everybody, or attempts are negative.

        """
        with self._store.transaction(writes=True) as session:
            _check_times(extension.due_at, extension.closes_at)
            row = _assignment(session, organisation, course, name, lock=True)
            member = _member(session, course, row.course_id, extension.login)
            where = _zone(session, row)
            for kind in ("due", "closes"):
                granted, everybodys = getattr(extension, f"{kind}_at"), getattr(row, f"{kind}_at")
                if granted and everybodys is None:
                    hint = f"grader assignment show {course}/{name} tells its times"
                    raise _unfit(f"{course}/{name} has no time to extend", f"for everybody --{kind} is never", hint)
                if granted and everybodys and granted < everybodys:
                    cause = f"for everybody --{kind} is {records.told(everybodys, where)}"
                    raise _unfit("an extension takes no time away", cause, "choose a later time")
            if extension.due_at and extension.closes_at and extension.closes_at < extension.due_at:
                raise _unfit("it would close before it is due", "--closes is before --due", "choose a later --closes")
            if extension.more_attempts < 0:
                raise _unfit("an extension takes no attempt away", "more_attempts is negative", "give none, or some")
            now = writes.now_of(session)
            values = msgspec.structs.asdict(extension)
            del values["login"]
            key = {"assignment_id": row.id, "learner_id": member.learner_id}
            if extension.due_at or extension.closes_at or extension.more_attempts:
                _put(session, Extension, key, values | {"given_by": by.name, "given_at": now})
            else:
                session.execute(delete(Extension).filter_by(**key))
            gradebook.mark(session, row.id, member.learner_id)
            told = msgspec.to_builtins(extension)
            _record(session, now, by, "assignment.extend", row.id, name=f"{course}/{name}", **told)
            return extension

    def extensions(self, organisation: str, course: str, name: str) -> list[records.Extension]:
        """Return what learners were granted, by login. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            row = _assignment(session, organisation, course, name)
            query = (
                select(Extension, Member.login)
                .join(Member, Member.learner_id == Extension.learner_id)
                .where(Extension.assignment_id == row.id, Member.course_id == row.course_id)
                .order_by(Member.login)
            )
            return [
                records.Extension(
                    login=login,
                    due_at=each.due_at,
                    closes_at=each.closes_at,
                    more_attempts=each.more_attempts,
                    reason=each.reason,
                )
                for each, login in session.execute(query)
            ]

    def override(
        self, organisation: str, course: str, name: str, override: records.Override, *, by: Actor
    ) -> records.Override:
        """Set a score with a reason, or take back the one that was set; what it was stays in the audit trail.

        Raises:
            NotFound: E5107 no such assignment or exercise in it, or nobody of that login.
            UsageError: E2307 the score is no number from 0 to twice the points, or there is no reason.

        """
        with self._store.transaction(writes=True) as session:
            row = _assignment(session, organisation, course, name)
            member = _member(session, course, row.course_id, override.login)
            item = session.get(Item, (row.id, override.exercise))
            if item is None:
                raise _unknown(f"exercise {override.exercise!r} in {course}/{name}", f"grader course show {course}")
            if not override.reason.strip():
                raise _unfit("a score is set for a reason", "none was given", 'add --reason "..."')
            score = override.score
            if score is not None and not 0 <= score <= 2 * item.points:
                raise _unfit(
                    f"{score:g} is not a score for {override.exercise}",
                    f"it is worth {item.points:g} points",
                    "give a number from 0 to twice that",
                )
            now = writes.now_of(session)
            key = {"assignment_id": row.id, "learner_id": member.learner_id, "exercise": override.exercise}
            was = session.get(Override, tuple(key.values()))
            before = None if was is None else was.score
            if score is None:
                session.execute(delete(Override).filter_by(**key))
            else:
                values = {"score": score, "reason": override.reason, "decided_by": by.name, "decided_at": now}
                _put(session, Override, key, values)
            told = msgspec.to_builtins(override)
            _record(session, now, by, "score.override", row.id, name=f"{course}/{name}", before=before, **told)
            return override

    # What learners may see

    def disclose(self, report: Report, learner: str, *, now: dt.datetime | None = None) -> Report:
        """Return a learner's report without the tests whose results are not disclosed (yet).

        The verdict and the score are always told. Where a submission is for several assignments, each must allow it.
        """
        with self._store.transaction(writes=False) as session:
            rules = _rules(session, report.submission, learner)
            if not rules or report.verdict in UNJUDGED:
                return report
            moment = _now(session, now)
            hidden = {test.name for rule in rules for test in report.tests if not rule.shows(test.name, moment)}
            if not hidden:
                return report
            number = f"{len(hidden)} of {len(report.tests)} tests" if len(report.tests) > 1 else "the test"
            said = f"The results of {number} are not shown{_until(rules, hidden, moment)}."
            if any(rule.assignment.tokens for rule in rules):
                said += f" A release token shows them: grader release {report.submission}"
            tests = [test for test in report.tests if test.name not in hidden]
            message = " ".join(filter(None, (report.message, said)))
            return msgspec.structs.replace(report, tests=tests, message=message, withheld=len(hidden))

    def release(self, submission: str, learner: str, *, now: dt.datetime | None = None) -> int:
        """Spend a token, so that the report of a submission is shown whole; return how many tokens are left.

        What is shown already costs none.

        Raises:
            NotFound: E5107 it is no submission of this learner for an assignment.
            LimitReached: E6205 no token is left.

        """
        with self._store.transaction(writes=True) as session:
            # Two at once must not spend the same token.
            session.execute(select(Learner.id).where(Learner.name == learner).with_for_update(key_share=True))
            rules = _rules(session, submission, learner)
            if not rules:
                raise _unknown(f"assignment that {submission} was sent for")
            moment, left = _now(session, now).replace(microsecond=0), 0
            for rule in rules:
                left, back = _tokens(session, rule.assignment, rule.learner_id, moment)
                if rule.released or rule.shows_all(moment):
                    continue
                if left == 0:
                    raise _no_token(rule, back, moment)
                session.add(
                    Release(
                        submission_id=submission,
                        assignment_id=rule.assignment.id,
                        learner_id=rule.learner_id,
                        at=moment,
                    )
                )
                left -= 1
            return left

    # Appeals

    def appeal(self, submission: str, learner: str, reason: str) -> list[Appeal]:
        """Ask that the grade of one's submission be looked at again, in each assignment that it was sent for.

        Raises:
            NotFound: E5107 it is no submission of this learner for an assignment.
            UsageError: E2307 no reason; E2308 one that is not answered yet is there.

        """
        if not reason.strip():
            raise _unfit("an appeal has a reason", "none was given", 'add --reason "..."')
        with self._store.transaction(writes=True) as session:
            session.execute(select(Learner.id).where(Learner.name == learner).with_for_update(key_share=True))
            rules = _rules(session, submission, learner)
            if not rules:
                raise _unknown(f"assignment that {submission} was sent for")
            asked = [rule.assignment.id for rule in rules]
            is_open = (AppealRow.submission_id == submission, AppealRow.state == "open")
            waiting = set(session.scalars(select(AppealRow.assignment_id).where(*is_open)))
            if waiting.issuperset(asked):
                raise UsageError(
                    "E2308",
                    f"an appeal for {submission} waits for its answer",
                    cause="a submission has one at a time",
                    hint="wait for the answer",
                )
            now, made = writes.now_of(session), []
            for rule in rules:
                if rule.assignment.id not in waiting:
                    made.append(new_id("p"))
                    session.add(
                        AppealRow(
                            id=made[-1],
                            assignment_id=rule.assignment.id,
                            learner_id=rule.learner_id,
                            submission_id=submission,
                            reason=reason.strip(),
                            state="open",
                            answer="",
                            answered_by="",
                            created_at=now,
                        )
                    )
            session.flush()
            return _appeals(session, AppealRow.id.in_(made))

    def appeals(self, organisation: str, course: str, *, learner: str | None = None) -> list[Appeal]:
        """Return the appeals of a course, or a learner's, open ones first, then the newest. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            row = _course(session, organisation, course)
            where = [Assignment.course_id == row.id]
            if learner is not None:
                where.append(Learner.name == learner)
            return _appeals(session, *where)

    def answer(self, organisation: str, course: str, appeal: str, *, accept: bool, answer: str, by: Actor) -> Appeal:
        """Answer an appeal. No score changes by it: a rejudge or an override does that.

        Raises:
            NotFound: E5107 no such appeal in the course.
            UsageError: E2308 it is answered already.

        """
        with self._store.transaction(writes=True) as session:
            row = _course(session, organisation, course)
            of_course = (AppealRow.id == appeal, Assignment.course_id == row.id)
            if not _appeals(session, *of_course):
                raise _unknown(f"appeal {appeal!r} in {course}", f"grader course appeals {course}")
            found = session.get_one(AppealRow, appeal, with_for_update={"key_share": True})
            if found.state != "open":
                raise UsageError(
                    "E2308",
                    f"appeal {appeal} is {found.state} already",
                    cause=f"{found.answered_by} has answered it",
                    hint=f"grader course appeals {course}",
                )
            now = writes.now_of(session)
            found.state = "accepted" if accept else "declined"
            found.answer, found.answered_by, found.answered_at = answer, by.name, now
            _record(session, now, by, "appeal.answer", appeal, state=found.state)
            session.flush()
            return _appeals(session, *of_course)[0]

    # Grades

    def gradebook(  # noqa: PLR0913  what is looked at, each part by its name
        self,
        organisation: str,
        course: str,
        *,
        assignment: str = "",
        cohort: str = "",
        login: str = "",
        limit: int = 0,
        after: str = "",
        published: bool = False,
    ) -> Gradebook:
        """Return the grades of one assignment, or of all that are published in a course, by login.

        With a `limit`, so many learners that come `after` a login. `published`: a draft is not to be seen either.

        Raises:
            NotFound: E5107 no such course or assignment.

        """
        with self._store.transaction(writes=False) as session:
            row = _course(session, organisation, course)
            if assignment:
                chosen = [_assignment(session, organisation, course, assignment)]
                if published and chosen[0].published_at is None:
                    raise _unknown(f"assignment {course}/{assignment}")
            else:
                chosen = list(session.scalars(_assignments_of(row.id, published=True)))
            return gradebook.read(session, row, chosen, cohort=cohort, login=login, limit=limit, after=after)

    def sources(
        self, organisation: str, course: str, assignment: str, exercise: str, *, most_bytes: int
    ) -> dict[str, bytes]:
        """Return, by login, the submissions that count for an exercise of an assignment, each so long at most.

        Raises:
            NotFound: E5107 no such assignment, or it does not have that exercise.

        """
        with self._store.transaction(writes=False) as session:
            row = _assignment(session, organisation, course, assignment)
            if session.get(Item, (row.id, exercise)) is None:
                raise _unknown(
                    f"exercise {exercise!r} in {course}/{assignment}", f"grader assignment show {course}/{assignment}"
                )
            query = (
                select(Member.login, func.substr(Source.content, 1, most_bytes, type_=LargeBinary))
                .select_from(Mark)
                .join(Member, (Member.learner_id == Mark.learner_id) & (Member.course_id == row.course_id))
                .join(Submission, Submission.id == Mark.submission_id)
                .join(Source, Source.sha256 == Submission.sha256)
                .where(Mark.assignment_id == row.id, Mark.exercise == exercise, Mark.share.is_not(None))
                .order_by(Member.login)
            )
            return {login: content for login, content in session.execute(query)}  # noqa: C416  rows have no type

    def login_of(self, organisation: str, course: str, learner: str) -> str:
        """Return under which login a learner is on a course's roster. Raises NotFound E5107."""
        with self._store.transaction(writes=False) as session:
            row = _course(session, organisation, course)
            query = select(Member.login).join(Learner, Learner.id == Member.learner_id)
            login = session.scalar(query.where(Member.course_id == row.id, Learner.name == learner))
            if login is None:
                raise _unknown(f"course {course!r}")
            return login


def check(assignment: records.Assignment, where: dt.tzinfo) -> None:
    """Raise UsageError E2305 or E2307, with times as they are `where`, if an assignment does not hold together."""
    name = assignment.name
    records.late(assignment.late)
    if not 0 < len(assignment.items) <= _MOST_ITEMS:
        raise _unfit(f"{name} has no exercises", "an assignment has 1 to 200", "name them: softmax:10 adam:20")
    exercises = [item.exercise for item in assignment.items]
    if twice := {each for each in exercises if exercises.count(each) > 1}:
        raise _unfit(f"{name} has an exercise twice", min(twice), "name each once")
    for item in assignment.items:
        if not (math.isfinite(item.points) and 0 < item.points <= 1e6):  # noqa: PLR2004
            raise _unfit(f"{name}: {item.exercise} is worth nothing", f"{item.points:g} points", "give it points")
    order = [("opens", assignment.opens_at), ("due", assignment.due_at), ("closes", assignment.closes_at)]
    times = [(what, at) for what, at in order if at is not None]
    _check_times(*(at for _, at in times))
    for (first, earlier), (second, later) in itertools.pairwise(times):
        if later < earlier or (later == earlier and first == "opens"):
            cause = f"--{first} is {records.told(earlier, where)}, --{second} {records.told(later, where)}"
            raise _unfit(f"{name}: --{second} is not after --{first}", cause, "change one of the two")
    if assignment.due_at is None and assignment.late != records.NEVER_LATE:
        raise _unfit(f"{name} is never due, so nothing is late", f"its late policy is {assignment.late}", "give --due")
    tests = [rule for item in assignment.items for rule in item.disclosure.values()]
    if "after_due" in (assignment.disclosure, *tests) and not (assignment.due_at or assignment.closes_at):
        raise _unfit(f"{name} is never due, so nothing would be disclosed", "disclosure is after_due", "give --due")
    least = {"attempts": 1, "cooldown_seconds": 0, "tokens": 0, "token_seconds": 0}
    for field, smallest in least.items():
        value = getattr(assignment, field)
        if value is not None and not smallest <= value <= 10**9:
            raise _unfit(f"{name}: {field} cannot be {value}", f"it is {smallest} at least", "choose another number")


def _check_times(*times: dt.datetime | None) -> None:
    for at in times:
        if at is not None and not _FIRST <= at <= _LAST:
            raise _unfit(f"{at.year} is not the year of a course", "times are from 2000 to 2200", "look at the times")


class _Rule:
    """What an assignment discloses to one learner of one submission for it."""

    def __init__(
        self, assignment: Assignment, extension: Extension | None, item: Item, entry: Entry, *, released: bool
    ) -> None:
        """Put together what decides."""
        self.assignment = assignment
        self.learner_id = entry.learner_id
        self.released = released
        self._tests: dict[str, str] = item.disclosure
        due, closes = admission.window(assignment, extension)
        self.from_ = due or closes

    def _allows(self, rule: str, now: dt.datetime) -> bool:
        return rule == "always" or (rule == "after_due" and self.from_ is not None and now > self.from_)

    def shows(self, test: str, now: dt.datetime) -> bool:
        """Tell whether the result of a test may be shown."""
        return self.released or self._allows(self._tests.get(test, self.assignment.disclosure), now)

    def shows_all(self, now: dt.datetime) -> bool:
        """Tell whether there is nothing that a token would show."""
        return all(self._allows(rule, now) for rule in (self.assignment.disclosure, *self._tests.values()))

    def later(self, test: str) -> bool:
        """Tell whether the result of a test is shown once the assignment is due."""
        return self._tests.get(test, self.assignment.disclosure) == "after_due"


def _rules(session: Session, submission: str, learner: str) -> list[_Rule]:
    query = (
        select(Assignment, Extension, Item, Entry, Release.at)
        .select_from(Entry)
        .join(Learner, Learner.id == Entry.learner_id)
        .join(Assignment, Assignment.id == Entry.assignment_id)
        .join(Item, (Item.assignment_id == Entry.assignment_id) & (Item.exercise == Entry.exercise))
        .outerjoin(
            Extension,
            (Extension.assignment_id == Entry.assignment_id) & (Extension.learner_id == Entry.learner_id),
        )
        .outerjoin(
            Release, (Release.submission_id == Entry.submission_id) & (Release.assignment_id == Entry.assignment_id)
        )
        .where(Entry.submission_id == submission, Learner.name == learner)
        .order_by(Assignment.id)
    )
    return [
        _Rule(assignment, extension, item, entry, released=released is not None)
        for assignment, extension, item, entry, released in session.execute(query)
    ]


def _until(rules: list[_Rule], hidden: set[str], now: dt.datetime) -> str:
    """Say when hidden results will be shown, where all of them will be."""
    waiting = [(rule, test) for rule in rules for test in hidden if not rule.shows(test, now)]
    if all(rule.later(test) for rule, test in waiting):
        until = max(rule.from_ for rule, _ in waiting if rule.from_)
        return f" before {until:%Y-%m-%d %H:%M:%S} UTC"
    return ""


def _tokens(session: Session, row: Assignment, learner_id: str, now: dt.datetime) -> tuple[int, dt.datetime | None]:
    """Return how many tokens a learner has left, and when the next one that is spent comes back."""
    spent = select(Release.at).where(Release.assignment_id == row.id, Release.learner_id == learner_id)
    if row.token_seconds:
        spent = spent.where(Release.at > now - dt.timedelta(seconds=row.token_seconds))
    away = session.scalars(spent.order_by(Release.at)).all()
    back = away[0] + dt.timedelta(seconds=row.token_seconds) if away and row.token_seconds else None
    return max(0, row.tokens - len(away)), back


def _no_token(rule: _Rule, back: dt.datetime | None, now: dt.datetime) -> LimitReached:
    all_told = f"{rule.assignment.tokens} for this assignment" if rule.assignment.tokens else "this assignment has none"
    return LimitReached(
        "E6205",
        "no release token is left",
        cause=f"the next comes back at {back:%Y-%m-%d %H:%M:%S} UTC" if back else all_told,
        hint="the verdict and the score are shown without one",
        seconds=(back - now).total_seconds() if back else math.inf,
    )


def _compatible(roster: "Roster", there: dict[str, Member]) -> tuple[list[Person], list[records.Problem]]:
    """Return the people of a roster who contradict nobody that is in the course, and all problems by line."""
    people, problems = [], list(roster.problems)
    identifiers = {row.identifier.casefold(): row.login for row in there.values() if row.identifier}
    logins = {login.casefold(): login for login in there}
    for line, person in roster.people.items():
        other = identifiers.get(person.identifier.casefold(), person.login) if person.identifier else person.login
        spelt = logins.get(person.login.casefold(), person.login)
        if other != person.login:
            problems.append(
                records.Problem(
                    line,
                    f"the identifier {person.identifier!r} is that of {other!r} in the course, not of {person.login!r}",
                    "correct it; a login cannot change, since the work hangs on it",
                )
            )
        elif spelt != person.login:
            problems.append(
                records.Problem(
                    line, f"{person.login!r} is {spelt!r} in the course", f"write {spelt!r}: accounts tell cases apart"
                )
            )
        else:
            people.append(person)
    return people, sorted(problems, key=lambda problem: problem.line)


def _logins_of_problems(roster: "Roster", there: dict[str, Member]) -> set[str]:
    """Return the members whom lines mean that contradict them: they are not missing from the file."""
    identifiers = {row.identifier.casefold(): row.login for row in there.values() if row.identifier}
    meant = {identifiers.get(person.identifier.casefold(), "") for person in roster.people.values()}
    return meant | {
        login for login in there if login.casefold() in {p.login.casefold() for p in roster.people.values()}
    }


def _add_members(session: Session, course: Course, people: Sequence[Person], now: dt.datetime) -> None:
    prefix = f"{course.organisation}/" if course.organisation else ""
    for begin in range(0, len(people), _AT_ONCE):
        part = people[begin : begin + _AT_ONCE]
        names = [f"{prefix}{person.login}" for person in part]
        known = select(Learner.name, Learner.id).where(Learner.name.in_(names))
        ids = {name: each for name, each in session.execute(known)}  # noqa: C416  rows have no type
        new = [{"id": new_id("l"), "name": name, "created_at": now} for name in names if name not in ids]
        _add_all(session, Learner, new)
        ids |= {name: each for name, each in session.execute(known)} if new else {}  # noqa: C416
        rows = [
            {
                "course_id": course.id,
                "learner_id": ids[f"{prefix}{person.login}"],
                "added_at": now,
                **msgspec.structs.asdict(person),
            }
            for person in part
        ]
        _add_all(session, Member, rows)


def _add_all(session: Session, model: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows, but those whose like is there."""
    if not rows:
        return
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415  as in `writes.add_new`
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # noqa: PLC0415  same methods
    session.execute(insert(model).on_conflict_do_nothing(), rows)


def _update_member(session: Session, course: str, login: str, values: dict[str, Any]) -> None:
    where = (Member.course_id == course, Member.login == login)
    session.execute(update(Member).where(*where).values(**values), execution_options={"synchronize_session": False})


def _put(session: Session, model: type[Base], key: dict[str, str], values: dict[str, Any]) -> None:
    """Insert a row, or change the one of that key."""
    writes.add_new(session, model, **key, **values)
    row = session.get_one(model, tuple(key.values()), with_for_update={"key_share": True}, populate_existing=True)
    for name, value in values.items():
        setattr(row, name, value)


def _set_items(session: Session, row: Assignment, items: Sequence[records.Item]) -> None:
    session.execute(delete(Item).where(Item.assignment_id == row.id))
    session.add_all(
        Item(
            assignment_id=row.id,
            exercise=item.exercise,
            ordinal=ordinal,
            points=item.points,
            disclosure=dict(item.disclosure),
        )
        for ordinal, item in enumerate(items, 1)
    )
    session.flush()


def _values(assignment: records.Assignment, now: dt.datetime) -> dict[str, Any]:
    late = records.late(assignment.late)
    return {
        "title": assignment.title,
        "opens_at": assignment.opens_at,
        "due_at": assignment.due_at,
        "closes_at": assignment.closes_at,
        "late": assignment.late,
        "late_percent": late.percent,
        "late_unit": late.unit,
        "late_floor": late.floor,
        "attempts": assignment.attempts,
        "cooldown_seconds": assignment.cooldown_seconds,
        "disclosure": assignment.disclosure,
        "tokens": assignment.tokens,
        "token_seconds": assignment.token_seconds,
        "published_at": now if assignment.published else None,
    }


def _to_course(session: Session, row: Course, *, published: bool = False) -> records.Course:
    members = select(func.count()).select_from(Member).where(Member.course_id == row.id, Member.left_at.is_(None))
    names = [each.name for each in session.scalars(_assignments_of(row.id, published=published))]
    return records.Course(
        name=row.name,
        title=row.title,
        timezone=row.timezone,
        members=session.scalars(members).one(),
        assignments=names,
    )


def _assignments_of(course: str, *, published: bool) -> Select[Assignment]:
    # In the order in which they were made: ids sort by time.
    query = select(Assignment).where(Assignment.course_id == course).order_by(Assignment.id)
    return query.where(Assignment.published_at.is_not(None)) if published else query


def _to_assignment(session: Session, row: Assignment) -> records.Assignment:
    items = session.scalars(select(Item).where(Item.assignment_id == row.id).order_by(Item.ordinal))
    return records.Assignment(
        name=row.name,
        title=row.title,
        items=[
            records.Item(exercise=item.exercise, points=item.points, disclosure=dict(item.disclosure)) for item in items
        ],
        opens_at=row.opens_at,
        due_at=row.due_at,
        closes_at=row.closes_at,
        late=row.late,
        attempts=row.attempts,
        cooldown_seconds=row.cooldown_seconds,
        disclosure=cast("records.Disclosure", row.disclosure),  # the database checks it
        tokens=row.tokens,
        token_seconds=row.token_seconds,
        published=row.published_at is not None,
    )


def _appeals(session: Session, *where: Any) -> list[Appeal]:
    query = (
        select(AppealRow, Assignment.name, Submission.exercise, Member.login)
        .join(Assignment, Assignment.id == AppealRow.assignment_id)
        .join(Submission, Submission.id == AppealRow.submission_id)
        .join(Learner, Learner.id == AppealRow.learner_id)
        .join(Member, (Member.learner_id == AppealRow.learner_id) & (Member.course_id == Assignment.course_id))
        .where(*where)
        .order_by(AppealRow.state != "open", AppealRow.id.desc())
    )
    return [
        Appeal(
            id=row.id,
            assignment=assignment,
            exercise=exercise,
            login=login,
            submission=row.submission_id,
            reason=row.reason,
            state=cast("Literal['open', 'accepted', 'declined']", row.state),  # the database checks it
            created_at=row.created_at,
            answer=row.answer,
            answered_by=row.answered_by,
            answered_at=row.answered_at,
        )
        for row, assignment, exercise, login in session.execute(query)
    ]


def _course(session: Session, organisation: str, name: str) -> Course:
    row = session.scalar(select(Course).where(Course.organisation == organisation, Course.name == name))
    if row is None:
        raise _unknown(f"course {name!r}")
    return row


def _assignment(session: Session, organisation: str, course: str, name: str, *, lock: bool = False) -> Assignment:
    owner = _course(session, organisation, course)
    query = select(Assignment).where(Assignment.course_id == owner.id, Assignment.name == name)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise _unknown(f"assignment {course}/{name}", f"grader course show {course}")
    return row


def _member(session: Session, course: str, course_id: str, login: str) -> Member:
    row = session.scalar(select(Member).where(Member.course_id == course_id, Member.login == login))
    if row is None:
        raise _unknown(f"login {login!r} on the roster of {course}", f"grader course roster {course}")
    return row


def _zone(session: Session, row: Assignment) -> dt.tzinfo:
    return records.zone(session.get_one(Course, row.course_id).timezone)


def _now(session: Session, now: dt.datetime | None) -> dt.datetime:
    return writes.now_of(session) if now is None else now


def _record(session: Session, now: dt.datetime, by: Actor, action: str, subject: str, **details: Any) -> None:
    session.add(
        Audit(
            id=new_id("e"),
            at=now,
            account_id=by.account,
            action=action,
            subject=subject,
            details=_storable({"by": by.name, **details}),
        )
    )


def _storable(details: dict[str, Any]) -> dict[str, Any]:
    """Return details as any database can hold them as JSON: without halves of surrogate pairs and NUL."""
    text = json.dumps(details, ensure_ascii=False).encode("utf-8", "replace").replace(b"\\u0000", b"?")
    found: dict[str, Any] = json.loads(text)
    return found


def _check_name(what: str, name: str) -> None:
    if not records.NAME.fullmatch(name):
        raise UsageError(
            "E2301",
            f"{name[:80]!r} cannot be the name of a {what}",
            cause="names have 1 to 60 small letters and digits, and . _ - within",
            hint="for example dl-101, and hw1",
        )


def _taken(what: str) -> UsageError:
    return UsageError("E2118", f"there is already {what}", cause="it must be one of a kind", hint="choose another name")


def _unfit(what: str, cause: str, hint: str) -> UsageError:
    return UsageError("E2307", what, cause=cause, hint=hint)


def _unknown(what: str, hint: str = "grader course list") -> NotFound:
    return NotFound("E5107", f"no {what}", cause="there is none, or it is not yours to see", hint=hint)
