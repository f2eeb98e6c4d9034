"""Exercise folders: what is loaded, what is refused with file, line and remedy, and what the version depends on."""

import os
import re
import shutil
from pathlib import Path

import pytest

from grader import exercise as exercises
from grader.errors import ExerciseError, NotFound

ROOT = Path(__file__).parent.parent
NAMES = ["adam", "attention", "backprop", "conv2d", "fused-softmax", "lstm-cell", "softmax", "tiled-matmul"]


# --- loading


def test_a_folder_is_an_exercise(make_exercise):
    """Loading gives what the files say, with defaults for what they leave out."""
    exercise = make_exercise(name="batch-norm")
    assert (exercise.name, exercise.module) == ("batch-norm", "batch_norm")
    assert (exercise.title, exercise.track, exercise.difficulty) == ("Twice an array", "Tests", 1)
    assert (exercise.kind, exercise.toml.devices) == ("numpy", ["cpu"])
    assert exercise.limits.call_seconds == 0.5
    assert [(function.name, function.returns) for function in exercise.functions] == [("double", "array")]
    assert exercise.statement.startswith("# Double")
    assert "NotImplementedError" in exercise.starter
    assert exercise.reference.name == "batch_norm.py"
    assert exercise.tests("public").name == "public_tests.py"
    wrong = {each.name: each for each in exercise.wrong}
    assert sorted(wrong) == ["negative", "no_factor", "three"]
    assert wrong["no_factor"].explanation == "The factor is left out."
    assert wrong["no_factor"].caught_by == ("test_factor",)


def test_a_class_exercise_has_methods_and_attributes(make_exercise):
    """Classes carry their methods' signatures without self, and their attributes."""
    (cls,) = make_exercise("class").classes
    assert (cls.name, cls.signature, cls.attributes) == ("Total", "(start)", {"total": "array"})
    assert [(method.name, method.signature) for method in cls.methods] == [("add", "(x)")]


def test_pytorch_gets_more_memory_unless_the_folder_says_otherwise(make_exercise):
    """2048 MiB are the default for torch, 512 for NumPy."""
    plain = make_exercise().folder / "exercise.toml"
    text = re.sub(r"\[limits\].*?\n\n", "", plain.read_text(), flags=re.DOTALL)
    assert make_exercise(changes={"exercise.toml": text}).limits.memory_mib == 512
    text = text.replace('"numpy"', '"torch"')
    assert make_exercise("torch", {"exercise.toml": text}).limits.memory_mib == 2048
    assert make_exercise("torch").limits.memory_mib == 256


def test_signatures_are_compared_by_meaning(make_exercise):
    """Blanks, quotes, annotations and spellings of numbers make no difference between toml, starter and reference."""
    reference = '"""f x."""\n\n\ndef double(x: "array", factor: float=2.0) -> "array":\n    return factor * x\n'
    assert make_exercise(changes={"reference": reference}).functions[0].signature == "(x, factor=2.0)"


@pytest.mark.parametrize("name", NAMES)
def test_our_own_exercises_load(name):
    """Every exercise of the repository is valid."""
    exercise = exercises.load(name)
    assert exercise.name == name
    assert len(exercise.wrong) >= 10


def test_names_lists_every_exercise_once_and_sorted(monkeypatch):
    """Our own exercises, without anything registered."""
    monkeypatch.delenv("GRADER_EXERCISES", raising=False)
    assert exercises.names() == NAMES


# --- names that are not there


@pytest.mark.parametrize(
    ("asked", "near"),
    [("sofmax", "softmax"), ("Softmax", "softmax"), ("lstm_cell", "lstm-cell"), ("conv", "conv2d"), ("adamw", "adam")],
)
def test_the_nearest_name_is_suggested(asked, near):
    """A misspelt name is answered with the one that was probably meant."""
    with pytest.raises(NotFound) as caught:
        exercises.load(asked)
    assert caught.value.hint == f"did you mean `{near}`?"
    assert repr(asked) in caught.value.what
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("asked", ["zzzzzz", "", "../softmax", "softmax/wrong", "/", ".", "a" * 10_000, "s\0x", "\n"])
def test_a_name_that_is_none_is_not_found(asked):
    """Paths, empty and strange names never reach the file system; they are just not there."""
    with pytest.raises(NotFound) as caught:
        exercises.load(asked)
    assert caught.value.hint


# --- GRADER_EXERCISES


def test_private_exercises_are_found_beside_ours(write_exercise, monkeypatch):
    """A folder of exercises with its references beside it is searched, and ours stay."""
    folder = write_exercise(name="my-own")
    monkeypatch.setenv("GRADER_EXERCISES", str(folder.parent))
    assert exercises.names() == sorted([*NAMES, "my-own"])
    assert exercises.load("my-own").reference == folder.parent.parent / "reference" / "my_own.py"
    with pytest.raises(NotFound, match="myown") as caught:
        exercises.load("myown")
    assert "my-own" in caught.value.hint


def test_references_may_lie_inside_the_private_folder(write_exercise, monkeypatch):
    """`reference/` inside the folder of exercises is found first, and is no exercise itself."""
    folder = write_exercise(name="my-own")
    shutil.move(folder.parent.parent / "reference", folder.parent / "reference")
    monkeypatch.setenv("GRADER_EXERCISES", str(folder.parent))
    assert exercises.load("my-own").reference == folder.parent / "reference" / "my_own.py"
    assert "reference" not in exercises.names()


def test_private_folders_are_searched_first_and_in_order(write_exercise, tmp_path, monkeypatch):
    """A private `softmax` hides ours; of two private ones the first counts; missing and empty folders do no harm."""
    first = write_exercise(name="softmax")
    second = tmp_path / "second" / "exercises"
    shutil.copytree(first.parent, second)
    shutil.copytree(first.parent.parent / "reference", second.parent / "reference")
    paths = ["", str(tmp_path / "missing"), str(second), str(first.parent)]
    monkeypatch.setenv("GRADER_EXERCISES", os.pathsep.join(paths))
    assert exercises.load("softmax").folder == second / "softmax"
    assert exercises.names() == NAMES


def test_a_relative_path_in_the_setting_works(write_exercise, monkeypatch):
    """The folder may be named from where one stands."""
    folder = write_exercise(name="my-own")
    monkeypatch.chdir(folder.parent.parent)
    monkeypatch.setenv("GRADER_EXERCISES", "exercises")
    assert exercises.load("my-own").folder == folder


# --- malformed folders: (changes, file, what the line with the fault begins with (None: no line), words of the cause)

TOML = "exercise.toml"


def toml(old, new):
    """Return a change of exercise.toml, made when the test runs."""
    return {TOML: (old, new)}


FAULTS = {
    **{f"no {name}": ({name: None}, name, None, "the file is missing") for name in exercises._FILES},
    "no reference": ({"reference": None}, "double.py", None, "the reference is missing"),
    "TOML that does not parse": (toml("difficulty = 1", "difficulty ="), TOML, "difficulty", "Invalid value"),
    "TOML that ends early": (toml('1 = "First version."', '1 = "First'), TOML, "1 =", "."),
    "a key twice": (toml("difficulty = 1", "difficulty = 1\ndifficulty = 2"), TOML, "difficulty = 2", "overwrite"),
    "an unknown field": (toml("difficulty = 1", "difficulty = 1\nauthor = 'me'"), TOML, "author", "unknown field"),
    "an unknown limit": (toml("call_seconds", "cal_seconds"), TOML, "cal_seconds", "unknown field `cal_seconds`"),
    "an unknown function field": (toml("returns", "return"), TOML, None, "return"),
    "no title": (toml('title = "Twice an array"\n', ""), TOML, None, "missing required field `title`"),
    "an empty title": (toml('"Twice an array"', '" "'), TOML, "title", "the title is empty"),
    "a title of a wrong type": (toml('"Twice an array"', "7"), TOML, "title", "Expected `str`, got `int`"),
    "limits of a wrong type": (toml("call_seconds = 0.5", "call_seconds = 'x'"), TOML, "call_seconds", "Expected"),
    "limits that are no table": (
        toml("[[functions]]", "[x]\n[[functions]]"),
        *(TOML, None, "unknown field `x`"),
    ),
    "a limit of nothing": (toml("call_seconds = 0.5", "call_seconds = 0.0"), TOML, "call_seconds", "more than 0"),
    "an endless limit": (toml("call_seconds = 0.5", "call_seconds = inf"), TOML, "call_seconds", "call_seconds"),
    "a limit that is no number": (toml("call_seconds = 0.5", "call_seconds = nan"), TOML, "call_seconds", "call_"),
    "a difficulty of 9": (toml("difficulty = 1", "difficulty = 9"), TOML, "difficulty", "from 1 to 5"),
    "an unknown kind": (toml('"numpy"', '"jax"'), TOML, "kind", "jax"),
    "a number for the kind": (toml('"numpy"', "3"), TOML, "kind", "kind"),
    "no version": (toml('1 = "First version."', ""), TOML, "[versions]", "no entry"),
    "nothing to define": (
        toml('[[functions]]\nname = "double"\nsignature = "(x, factor=2.0)"\nreturns = "array"\n', ""),
        *(TOML, None, r"no \[\[functions\]\]"),
    ),
    "a signature that is none": (toml('"(x, factor=2.0)"', '"x, factor"'), TOML, "signature", "is no signature"),
    "a signature that is code": (toml('"(x, factor=2.0)"', '"(x): 1, lambda y"'), TOML, "signature", "signature"),
    "an unclosed signature": (toml('"(x, factor=2.0)"', '"(x, (y)"'), TOML, "signature", "is no signature"),
    "returns that are none": (toml('"array"', '"arrays"'), TOML, "returns", "'arrays' in 'arrays' is none of"),
    "returns that are not closed": (toml('"array"', '"[array"'), TOML, "returns", "missing"),
    "a function declared twice": (
        toml("[versions]", '[[functions]]\nname = "double"\nsignature = "()"\nreturns = "any"\n[versions]'),
        *(TOML, None, "double is declared twice"),
    ),
    "a starter with another signature": (
        {"starter.py": "\n\ndef double(x, scale=2.0):\n    pass\n"},
        *("starter.py", "def double", r"\(x, scale=2.0\), and \(x, factor=2.0\) in exercise.toml"),
    ),
    "a reference with another default": (
        {"reference": "\ndef double(x, factor=3.0):\n    pass\n"},
        *("double.py", "def double", r"\(x, factor=3.0\)"),
    ),
    "a starter without the function": ({"starter.py": "x = 1\n"}, "starter.py", "x = 1", "not defined"),
    "a starter that does not parse": ({"starter.py": "x = 1\ndef double(:\n"}, "starter.py", "def double(:", "Python"),
    "a reference that does not parse": ({"reference": "x = 1\n(\n"}, "double.py", "(", "not valid Python"),
    "a starter with a NUL byte": ({"starter.py": "x = 1\0\n"}, "starter.py", None, "Python"),
    "hidden tests that do not parse": ({"hidden_tests.py": "\n\n1 +\n"}, "hidden_tests.py", "1 +", "not valid Python"),
    "no test": ({"hidden_tests.py": "x = 1\n"}, "hidden_tests.py", "x = 1", "no test function"),
    "a test without a title": (
        {"public_tests.py": "\n\ndef test_a(submission):\n    pass\n"},
        *("public_tests.py", "def test_a", "test_a has no title"),
    ),
    "a test twice": (
        {"public_tests.py": 'def test_a():\n    """A."""\n\n\ndef test_a( ):\n    """B."""\n'},
        *("public_tests.py", "def test_a( )", "test_a is defined twice"),
    ),
    "points that are no number": (
        {"hidden_tests.py": '@pytest.mark.points("x")\ndef test_doubles(submission):\n    """A."""\n'},
        *("hidden_tests.py", None, "points"),
    ),
    "points of a variable": (
        {"hidden_tests.py": '@pytest.mark.points(N)\ndef test_doubles(submission):\n    """A."""\n'},
        *("hidden_tests.py", None, "points"),
    ),
    "no points given": (
        {"hidden_tests.py": '@pytest.mark.points()\ndef test_doubles(submission):\n    """A."""\n'},
        *("hidden_tests.py", None, "points"),
    ),
    "a wrong file without a docstring": ({"wrong/a.py": "x = 1\n"}, "a.py", "x = 1", "what the mistake is"),
    "a wrong file without Caught by": ({"wrong/a.py": '"""A mistake."""\n'}, "a.py", '"""A', "which test catches it"),
    "a wrong file without a sentence": (
        {"wrong/a.py": '"""Caught by test_doubles."""\n'},
        *("a.py", '"""Caught', "what the mistake is"),
    ),
    "a wrong file that names no test": (
        {"wrong/a.py": '"""A mistake.\n\nCaught by test_nothing.\n"""\n'},
        *("a.py", None, "hidden_tests.py has no test_nothing"),
    ),
    "a wrong file that does not parse": ({"wrong/a.py": "\nx = (\n"}, "a.py", "x = (", "not valid Python"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_malformed_folder_is_refused_with_file_line_and_remedy(write_exercise, name):
    """The error says which file, which line, what is wrong there and what to do; it is never a traceback."""
    changes, file, begins, words = FAULTS[name]
    folder = write_exercise(changes={path: text for path, text in changes.items() if not isinstance(text, tuple)})
    for path, text in changes.items():
        if isinstance(text, tuple):
            content = (folder / path).read_text()
            assert text[0] in content
            (folder / path).write_text(content.replace(*text, 1))
    with pytest.raises(ExerciseError) as caught:
        exercises.load_folder(folder)
    error = caught.value
    found = re.fullmatch(r"(.+?):(\d+): (.+)", error.cause, re.DOTALL)
    assert found, error.cause
    assert Path(found[1]).name == file
    assert re.search(words, found[3]), error.cause
    assert "object has no attribute" not in error.cause
    assert error.hint
    assert error.exit_code == 2
    if begins is not None:
        assert Path(found[1]).read_text().splitlines()[int(found[2]) - 1].startswith(begins), error.cause


@pytest.mark.parametrize("file", [*exercises._FILES, "wrong/three.py", "reference"])
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(write_exercise, file):
    """Every file of the folder is text; the line of the first bad byte is named."""
    folder = write_exercise()
    path = folder / file if file != "reference" else folder.parent.parent / "reference" / "double.py"
    path.write_bytes(b"# one\n# two \xff\n" + path.read_bytes())
    with pytest.raises(ExerciseError) as caught:
        exercises.load_folder(folder)
    assert f"{path.name}:2: not UTF-8 text" in caught.value.cause
    assert "UTF-8" in caught.value.hint


@pytest.mark.parametrize("name", ["Softmax", "my_own", "-a", "a--b", "a-", "2d", "é", "a b"])
def test_a_folder_whose_name_cannot_be_an_exercise_is_refused(write_exercise, name):
    """Names are small letters and digits in words joined by hyphens, so that they are module names too."""
    with pytest.raises(ExerciseError) as caught:
        exercises.load_folder(write_exercise(name=name))
    assert "cannot be an exercise's name" in caught.value.what
    assert "batch-norm" in caught.value.hint


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    """A path that leads nowhere is a missing exercise.toml, not an exception."""
    with pytest.raises(ExerciseError, match=re.escape("exercise.toml")):
        exercises.load_folder(tmp_path / "nowhere")


# --- version


@pytest.mark.parametrize("file", [*exercises._FILES, "wrong/three.py", "reference"])
def test_the_version_changes_with_every_file_that_can_change_a_verdict(make_exercise, file):
    """One more line in any of the exercise's own files is another version."""
    exercise = make_exercise()
    before = exercise.version
    path = exercise.reference if file == "reference" else exercise.folder / file
    path.write_text(path.read_text() + "\n# more\n")
    assert exercises.load_folder(exercise.folder).version != before
    assert re.fullmatch(r"[0-9a-f]{16}", before)


def test_the_version_changes_with_a_wrong_file_more_or_under_another_name(make_exercise):
    """Explanations come from wrong/, so that its files' names and number count too."""
    exercise = make_exercise()
    versions = {exercise.version}
    path = exercise.folder / "wrong" / "three.py"
    shutil.copy(path, path.with_name("four.py"))
    versions.add(exercises.load_folder(exercise.folder).version)
    path.unlink()
    versions.add(exercises.load_folder(exercise.folder).version)
    assert len(versions) == 3


def test_the_version_does_not_change_with_what_is_not_the_exercise(make_exercise):
    """Caches, notes, times and the place of the folder say nothing about a verdict."""
    exercise = make_exercise()
    before = exercise.version
    for name in (
        "__pycache__/hidden_tests.cpython-311.pyc",
        "notes.md",
        "conftest.py",
        "wrong/__pycache__/x.pyc",
        ".a",
    ):
        (exercise.folder / name).parent.mkdir(exist_ok=True)
        (exercise.folder / name).write_bytes(b"\0")
    os.utime(exercise.folder / "starter.py", (0, 0))
    assert exercises.load_folder(exercise.folder).version == before
    moved = exercise.folder.parent.parent.with_name("moved")
    shutil.copytree(exercise.folder.parent.parent, moved)
    assert exercises.load_folder(moved / "exercises" / "double").version == before
