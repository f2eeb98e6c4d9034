"""`grader new` creates an exercise that holds from the first moment."""

import pytest

from grader import exercise as exercises
from grader.errors import UsageError
from grader.scaffold import create


def test_the_folder_is_a_valid_exercise(tmp_path):
    """It loads, with its reference beside it and at least ten wrong files."""
    written = create("batch-norm", "Batch normalisation", tmp_path)
    exercise = exercises.load_folder(tmp_path / "batch-norm")
    assert exercise.title == "Batch normalisation"
    assert exercise.reference == tmp_path / "reference" / "batch_norm.py"
    assert exercise.functions[0].name == "batch_norm"
    assert len(exercise.wrong) >= 10
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize("name", ["Batch", "batch_norm", "-x", "a--b", "../up", "a/b", "", "1st"])
def test_names_are_checked_before_anything_is_written(tmp_path, name):
    """A name that cannot be one leaves nothing behind."""
    with pytest.raises(UsageError) as caught:
        create(name, "", tmp_path)
    assert caught.value.code == "E2120"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("title", ['a "quote"', "a\nb", "back\\slash"])
def test_titles_that_would_break_the_toml_are_refused(tmp_path, title):
    """The title goes into exercise.toml as it is."""
    with pytest.raises(UsageError):
        create("batch-norm", title, tmp_path)


def test_nothing_is_overwritten(tmp_path):
    """An existing exercise, or its reference alone, stops all of it."""
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "batch_norm.py").write_text("mine")
    with pytest.raises(UsageError) as caught:
        create("batch-norm", "", tmp_path)
    assert caught.value.code == "E2121"
    assert not (tmp_path / "batch-norm").exists()
    assert (tmp_path / "reference" / "batch_norm.py").read_text() == "mine"


def test_the_new_exercise_verifies(grader, work):
    """The publication gate passes on it, and says how to make it found."""
    made = grader("new", "centre-rows", "--in", "own")
    assert made.returncode == 0
    assert "GRADER_EXERCISES" in made.stderr
    done = grader("verify", "own/centre-rows", "--seeds", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = grader("list", GRADER_EXERCISES=str(work / "own"))
    assert "centre-rows" in listed.stdout
