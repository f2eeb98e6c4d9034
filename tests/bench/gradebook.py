"""How long the gradebook of a large class takes, on PostgreSQL and on SQLite.

`python -m tests.bench.gradebook` makes a server and a file of its own with a course of 2,000 learners and 40 exercises
in 10 assignments, each sent three times, and prints for a page and for each export minimum, median and maximum. A page
is measured to the JSON that the API answers. Exit status 1: a median misses its target.
"""

import argparse
import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from sqlalchemy import select, text

from grader import exports
from grader.course import Actor, Assignment, Item, Person
from grader.formats import BookFormat
from grader.roster import Roster
from grader.server import course_shapes as shapes
from grader.store import Store, course_models, gradebook, open_store
from grader.store.courses import Courses
from tests.store import cluster

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PAGE = 100
PAGE_MS, EXPORT_MS = 300.0, 3000.0
INES = Actor(None, "ines")
# Each learner's submissions for an exercise: one in time, one late, one not judged.
FILL = """
INSERT INTO sources VALUES ('00', 'x');
INSERT INTO submissions SELECT 's_' || i.exercise || '_' || m.login || '_' || n, m.learner_id, i.exercise, n, 'a.py',
    '00', '2026-01-01'
    FROM items i CROSS JOIN members m CROSS JOIN (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS r;
INSERT INTO entries (submission_id, assignment_id, learner_id, exercise, at, share)
    SELECT s.id, i.assignment_id, s.learner_id, s.exercise, {due} + (s.ordinal - 2) * 90000 + length(s.id) * 100,
        CASE WHEN s.ordinal < 3 THEN (length(s.id) * 7919 + s.ordinal) % 17 / 16.0 END
    FROM submissions s JOIN items i ON i.exercise = s.exercise;
"""


def main() -> int:
    """Fill both databases, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", type=int, default=2000)
    parser.add_argument("--exercises", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    missed = []
    for name, database in (("sqlite", _sqlite), ("postgresql", _postgresql)):
        with database() as where, closing(open_store(where)) as store:
            fill(store, options.learners, options.exercises)
            say(f"{name}: {options.learners} learners, {options.exercises} exercises, 3 submissions for each")
            for what, (target, call) in calls(Courses(store), options.learners).items():
                if show(what, call, options.rounds) > target:
                    missed.append(f"{what} ({name})")
    say(f"targets missed: {', '.join(missed)}" if missed else "all targets met")
    return int(bool(missed))


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/grader.sqlite3"


@contextmanager
def _postgresql() -> Iterator[str]:
    with cluster.start() as running:
        yield running.url(running.create())


def fill(store: Store, learners: int, exercises: int) -> None:
    """Make the course and what was sent."""
    courses = Courses(store)
    courses.add("", "large", title="Large", timezone="UTC", by=INES)
    people = {
        n: Person(login=f"user{n:05}", name=f"Given{n} Family{n}", identifier=str(n), email=f"user{n}@example.org")
        for n in range(learners)
    }
    courses.import_roster("", "large", Roster(people=people), by=INES)
    for first in range(0, exercises, 4):
        items = [Item(exercise=f"ex{n}", points=10.0) for n in range(first, min(first + 4, exercises))]
        made = Assignment(name=f"hw{first // 4 + 1}", items=items, due_at=BEGIN, late="10%/day", published=True)
        courses.add_assignment("", "large", made, by=INES)
    with store._engine.execution_options(writes=True).begin() as connection:
        for statement in FILL.format(due=int(BEGIN.timestamp())).strip().rstrip(";").split(";"):
            connection.execute(text(statement))
    with store.transaction(writes=True) as session:
        for assignment in session.scalars(select(course_models.Assignment.id)).all():
            gradebook.mark(session, assignment)
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def calls(courses: Courses, learners: int) -> dict[str, tuple[float, Callable[[], object]]]:
    """Return what is measured, by name, with its target in milliseconds."""
    half = f"user{learners // 2:05}"

    def page(**part: Any) -> str:
        return shapes.Gradebook.model_validate(courses.gradebook("", "large", **part)).model_dump_json()

    measured: dict[str, tuple[float, Callable[[], object]]] = {
        f"page of {PAGE}, the first": (PAGE_MS, lambda: page(limit=PAGE)),
        f"page of {PAGE}, in the middle": (PAGE_MS, lambda: page(limit=PAGE, after=half)),
        "page of one learner": (PAGE_MS, lambda: page(login=half)),
        "read one assignment": (EXPORT_MS, lambda: courses.gradebook("", "large", assignment="hw1")),
        "read everything": (EXPORT_MS, lambda: courses.gradebook("", "large")),
    }
    for form in BookFormat:
        measured[f"export {form}"] = EXPORT_MS, partial(export, courses, form)
    return measured


def export(courses: Courses, form: BookFormat) -> str:
    """Read everything and write it."""
    return exports.write(courses.gradebook("", "large"), form)


def show(what: str, call: Callable[[], object], rounds: int) -> float:
    """Print how long a call takes; return the median in milliseconds."""
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        took.append(1000 * (time.perf_counter() - begun))
    median = statistics.median(took)
    say(f"  {what:28} min {min(took):7.1f}  median {median:7.1f}  max {max(took):7.1f} ms")
    return median


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
