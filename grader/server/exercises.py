"""What there is to do: exercises, with all that may leave the server, and who did best."""

from typing import Annotated

import msgspec
from fastapi import Query

from grader.exercise import Exercise
from grader.server import access, shapes
from grader.server.service import On, Service, Who

routes = access.router("exercises")

Limit = Annotated[int, Query(ge=1, le=100)]


@routes.get("/v1/exercises")
def list_exercises(on: On) -> shapes.ExerciseList:
    """List the exercises."""
    found = [shapes.Listed.model_validate(_listed(on, each)) for each in on.catalogue.all()]
    return shapes.ExerciseList(exercises=found)


@routes.get("/v1/exercises/{exercise}")
def show_exercise(exercise: str, on: On) -> shapes.Whole:
    """Show an exercise: statement, starter, public examples, interface and limits."""
    found = on.catalogue.load(exercise)
    return shapes.Whole.model_validate(
        _listed(on, found)
        | {
            "statement": found.statement,
            "starter": found.starter,
            "public_tests": found.tests("public").read_text(encoding="utf-8"),
            "policy": msgspec.to_builtins(found.policy),
        }
    )


@routes.get("/v1/exercises/{exercise}/history")
def show_history(exercise: str, on: On, who: Who, limit: Limit = 20) -> shapes.History:
    """List your own submissions for an exercise, the newest first."""
    attempts = on.store.history(who.learner, exercise, limit)
    if not attempts:
        on.catalogue.load(exercise)  # a name that does not exist is told so
    return shapes.History(exercise=exercise, submissions=[shapes.Line.model_validate(each) for each in attempts])


@routes.get("/v1/exercises/{exercise}/leaderboard")
def show_leaderboard(exercise: str, on: On, who: Who, limit: Limit = 20) -> shapes.Leaderboard:
    """List the best of your organisation who chose to show a name: highest score, then fastest, then earliest."""
    on.catalogue.load(exercise)
    places = on.store.board(exercise, limit, organisation=who.organisation)
    return shapes.Leaderboard(exercise=exercise, places=[shapes.Place.model_validate(each) for each in places])


def _listed(on: Service, exercise: Exercise) -> dict[str, object]:
    return {
        "name": exercise.name,
        "title": exercise.title,
        "track": exercise.track,
        "difficulty": exercise.difficulty,
        "kind": exercise.kind,
        "version": exercise.version,
        "functions": msgspec.to_builtins(exercise.functions),
        "classes": msgspec.to_builtins(exercise.classes),
        "limits": msgspec.to_builtins(exercise.limits),
        "closed": on.settings.is_closed(exercise.name),
    }
