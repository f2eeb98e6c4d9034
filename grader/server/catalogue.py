"""The exercises as the server keeps them: loaded once, and again when a file of theirs has changed."""

import threading
from pathlib import Path

from grader import exercise as exercises
from grader.errors import ExerciseError, NotFound
from grader.exercise import Exercise

_LONGEST = 100

_State = tuple[tuple[Path, int, int], ...]


class Catalogue:
    """Loads exercises; threads may share it."""

    def __init__(self) -> None:
        """Load nothing yet: parsing and hashing an exercise takes tens of milliseconds."""
        self._known: dict[str, tuple[_State, Exercise]] = {}
        self._lock = threading.Lock()

    def load(self, name: str) -> Exercise:
        """Return an exercise as it is now. Raises NotFound E5101, and ExerciseError where it is malformed."""
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] == _state(known[1]):
            return known[1]
        found = exercises.load(name[:_LONGEST])  # of what is longer none is the nearest name
        with self._lock:
            self._known[name] = _state(found), found
        return found

    def all(self) -> list[Exercise]:
        """Return the exercises that are whole, by name; the others are for `grader verify`."""
        found = []
        for name in exercises.names():
            try:
                found.append(self.load(name))
            except (ExerciseError, NotFound):
                continue
        return found


def _state(exercise: Exercise) -> _State:
    """Return what tells whether a file has changed: its time and its size."""
    files = [*exercise.folder.iterdir(), *(exercise.folder / "wrong").glob("*.py"), exercise.reference]
    state = []
    for path in sorted(files):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        state.append((path, found.st_mtime_ns, found.st_size))
    return tuple(state)


def queue_of(exercise: Exercise) -> str:
    """Return the queue of the workers that can judge it on its device."""
    return "gpu" if exercise.device == "cuda" else "cpu"
