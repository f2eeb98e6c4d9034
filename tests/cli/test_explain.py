"""The catalogue of errors is complete and has nothing too many."""

import ast
import re
from pathlib import Path

import grader
import worker
from grader.explain import CATALOGUE
from grader.verdict import Verdict

CODE = re.compile(r"E\d{4}")


def test_every_code_raised_is_explained_and_none_for_nothing():
    """Codes are the texts `E` and four digits anywhere in grader/ and worker/, but for the catalogue itself."""
    used = {
        node.value
        for package in (grader, worker)
        for path in Path(package.__path__[0]).rglob("*.py")
        if path.name != "explain.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }
    assert used == {code for code in CATALOGUE if CODE.fullmatch(code)}


def test_every_verdict_is_explained():
    """What is no code is a verdict, and all of them are there."""
    assert {code for code in CATALOGUE if not CODE.fullmatch(code)} == set(Verdict)


def test_every_entry_is_whole():
    """A line that says what, and sentences for cause and remedy."""
    for code, entry in CATALOGUE.items():
        assert entry.what, code
        assert not entry.what.endswith("."), code
        assert entry.cause.endswith("."), code
        assert entry.hint, code
