"""Courses: rosters, assignments, extensions, grades, appeals. What learners see of them is their own."""

from typing import Annotated

import msgspec
from fastapi import Query, Response

from grader import course as records
from grader import exports, roster, similarity
from grader.course import Actor
from grader.formats import BookFormat
from grader.server import access
from grader.server import course_shapes as shapes
from grader.server.access import Caller
from grader.server.exercises import Limit
from grader.server.service import On, Who

routes = access.router("courses")

Login = Annotated[str, Query(max_length=100)]
Name = Annotated[str, Query(max_length=100)]
Cohort = Annotated[str, Query(max_length=200)]

MEDIA_TYPES = {BookFormat.JUNIT: "application/xml"}


def _actor(who: Caller) -> Actor:
    return Actor(who.account, who.learner)


@routes.get("/v1/courses")
def list_courses(on: On, who: Who) -> shapes.CourseList:
    """List the courses of your organisation, if you teach, or those that you are in."""
    learner = None if access.teaches(who) else who.learner
    found = on.courses.list_(who.organisation, learner=learner)
    return shapes.CourseList(courses=[shapes.Course.model_validate(each) for each in found])


@routes.post("/v1/courses", status_code=201)
def add_course(wanted: shapes.NewCourse, on: On, who: Who) -> shapes.Course:
    """Add a course to your organisation."""
    made = on.courses.add(who.organisation, wanted.name, title=wanted.title, timezone=wanted.timezone, by=_actor(who))
    return shapes.Course.model_validate(made)


@routes.get("/v1/courses/{course}")
def show_course(course: str, on: On, who: Who) -> shapes.Course:
    """Show a course and its assignments."""
    found = on.courses.course(who.organisation, course, published=not access.teaches(who))
    return shapes.Course.model_validate(found)


@routes.get("/v1/courses/{course}/roster")
def show_roster(course: str, on: On, who: Who, cohort: Cohort = "") -> shapes.Roster:
    """Show who is in a course, or was."""
    found = on.courses.roster(who.organisation, course, cohort=cohort)
    return shapes.Roster(members=[shapes.Member.model_validate(each) for each in found])


@routes.post("/v1/courses/{course}/roster")
def import_roster(course: str, sent: shapes.NewRoster, on: On, who: Who) -> shapes.Imported:
    """Import a roster: all of it or, where a line has a problem, nothing; every problem is told with its line."""
    told = on.courses.import_roster(
        who.organisation,
        course,
        roster.read(sent.content),
        skip_bad=sent.skip_bad,
        let_go=sent.let_go,
        dry_run=sent.dry_run,
        by=_actor(who),
    )
    return shapes.Imported.model_validate(told)


@routes.post("/v1/courses/{course}/assignments", status_code=201)
def add_assignment(course: str, wanted: shapes.NewAssignment, on: On, who: Who) -> shapes.Assignment:
    """Add an assignment; learners see it, and it takes submissions, once it is published."""
    assignment = msgspec.convert(wanted.model_dump(), records.Assignment)
    _check_items(on, assignment.items)
    made = on.courses.add_assignment(who.organisation, course, assignment, by=_actor(who))
    return shapes.Assignment.model_validate(made)


def _check_items(on: On, items: list[records.Item]) -> None:
    for item in items:
        records.check_rules(item, on.catalogue.load(item.exercise).test_names())


@routes.get("/v1/courses/{course}/assignments/{assignment}")
def show_assignment(course: str, assignment: str, on: On, who: Who) -> shapes.Assignment:
    """Show an assignment; to a learner with their own times and what is left to them."""
    if access.teaches(who):
        return shapes.Assignment.model_validate(on.courses.assignment(who.organisation, course, assignment))
    mine = on.courses.mine(who.organisation, course, assignment, who.learner)
    found = shapes.Assignment.model_validate(mine.assignment)
    items = [item.model_copy(update={"disclosure": {}}) for item in found.items]  # they name hidden tests
    return found.model_copy(update={"items": items, "mine": shapes.Mine.model_validate(mine)})


@routes.put("/v1/courses/{course}/assignments/{assignment}")
def change_assignment(course: str, assignment: str, wanted: shapes.Changes, on: On, who: Who) -> shapes.Assignment:
    """Change what is named of an assignment; what was sent is graded by the new rules from now on."""
    changes = wanted.model_dump(exclude_unset=True)
    if "items" in changes:
        changes["items"] = msgspec.convert(changes["items"], list[records.Item])
        _check_items(on, changes["items"])
    changed = on.courses.change_assignment(who.organisation, course, assignment, changes, by=_actor(who))
    return shapes.Assignment.model_validate(changed)


@routes.get("/v1/courses/{course}/assignments/{assignment}/extensions")
def list_extensions(course: str, assignment: str, on: On, who: Who) -> shapes.ExtensionList:
    """List what learners were granted of an assignment."""
    found = on.courses.extensions(who.organisation, course, assignment)
    return shapes.ExtensionList(extensions=[shapes.Extension.model_validate(each) for each in found])


@routes.put("/v1/courses/{course}/assignments/{assignment}/extensions/{login}")
def extend(course: str, assignment: str, login: str, wanted: shapes.NewExtension, on: On, who: Who) -> shapes.Extension:
    """Grant a learner later times or more attempts, in the place of what they were granted before."""
    extension = records.Extension(login=login, **wanted.model_dump())
    granted = on.courses.extend(who.organisation, course, assignment, extension, by=_actor(who))
    return shapes.Extension.model_validate(granted)


@routes.put("/v1/courses/{course}/assignments/{assignment}/overrides")
def override(course: str, assignment: str, wanted: shapes.NewOverride, on: On, who: Who) -> shapes.Override:
    """Set a learner's score for an exercise, with a reason, or take back the one that was set."""
    made = records.Override(**wanted.model_dump())
    on.courses.override(who.organisation, course, assignment, made, by=_actor(who))
    return shapes.Override.model_validate(made)


@routes.get("/v1/courses/{course}/assignments/{assignment}/similarity")
def show_similarity(
    course: str, assignment: str, on: On, who: Who, exercise: Name, limit: Limit = 20
) -> shapes.Similarity:
    """Show whose submissions for an exercise share code that others lack: for a person to look at, never a verdict."""
    files = on.courses.sources(who.organisation, course, assignment, exercise, most_bytes=similarity.MOST_BYTES)
    known = on.catalogue.load(exercise)
    given = [known.starter.encode(), known.reference.read_bytes()]
    return shapes.Similarity.model_validate(similarity.compare(files, given, most=limit))


@routes.get("/v1/courses/{course}/gradebook")
def show_gradebook(
    course: str,
    on: On,
    who: Who,
    assignment: Name = "",
    cohort: Cohort = "",
    limit: Limit = 50,
    after: Login = "",
) -> shapes.Gradebook:
    """Show grades: to those who teach a page of the course, to learners their own."""
    if access.teaches(who):
        found = on.courses.gradebook(
            who.organisation, course, assignment=assignment, cohort=cohort, limit=limit, after=after
        )
    else:
        login = on.courses.login_of(who.organisation, course, who.learner)
        found = on.courses.gradebook(who.organisation, course, assignment=assignment, login=login, published=True)
    return shapes.Gradebook.model_validate(found)


@routes.get(
    "/v1/courses/{course}/gradebook/export",
    response_class=Response,
    responses={
        200: {
            "description": "The grades in the form that a platform reads.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/xml": {"schema": {"type": "string"}},
            },
        }
    },
)
def export(
    course: str,
    on: On,
    who: Who,
    form: BookFormat = BookFormat.CSV,
    assignment: Name = "",
    cohort: Cohort = "",
    *,
    bom: bool = False,
) -> Response:
    """Write the grades for a platform; no cell is taken for a formula."""
    book = on.courses.gradebook(who.organisation, course, assignment=assignment, cohort=cohort)
    ending = "xml" if form is BookFormat.JUNIT else "csv"
    return Response(
        exports.write(book, form, bom=bom),
        media_type=MEDIA_TYPES.get(form, "text/csv; charset=utf-8"),
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f'attachment; filename="{book.course}-{form}.{ending}"',
        },
    )


@routes.post("/v1/courses/{course}/gradebook/fill")
def fill(course: str, sent: shapes.Fill, on: On, who: Who) -> shapes.Filled:
    """Put the grades into a file that Canvas or Moodle has handed out; what else is in it stays."""
    book = on.courses.gradebook(who.organisation, course, assignment=sent.assignment, cohort=sent.cohort)
    return shapes.Filled.model_validate(exports.fill(book, BookFormat(sent.form), sent.content))


@routes.get("/v1/courses/{course}/appeals")
def list_appeals(course: str, on: On, who: Who) -> shapes.AppealList:
    """List requests to look at a grade again: to those who teach all, to learners their own."""
    learner = None if access.teaches(who) else who.learner
    found = on.courses.appeals(who.organisation, course, learner=learner)
    return shapes.AppealList(appeals=[shapes.Appeal.model_validate(each) for each in found])


@routes.post("/v1/courses/{course}/appeals/{appeal}")
def answer_appeal(course: str, appeal: str, said: shapes.Answer, on: On, who: Who) -> shapes.Appeal:
    """Answer an appeal, once."""
    answered = on.courses.answer(
        who.organisation, course, appeal, accept=said.accept, answer=said.answer, by=_actor(who)
    )
    return shapes.Appeal.model_validate(answered)


@routes.post("/v1/submissions/{submission}/appeal", status_code=201)
def appeal(submission: str, why: shapes.NewAppeal, on: On, who: Who) -> shapes.AppealList:
    """Ask that the grade of your submission be looked at again, in each assignment that it was sent for."""
    made = on.courses.appeal(submission, who.learner, why.reason)
    return shapes.AppealList(appeals=[shapes.Appeal.model_validate(each) for each in made])


@routes.post("/v1/submissions/{submission}/release")
def release(submission: str, on: On, who: Who) -> shapes.Released:
    """Spend a token, so that the report of your submission is shown whole."""
    return shapes.Released(tokens_left=on.courses.release(submission, who.learner))
