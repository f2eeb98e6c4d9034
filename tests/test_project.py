"""The project's own files agree with each other: README, Makefile, pyproject, constraints, changelog."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import grader
from grader.verdict import Verdict

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def text(name):
    """Return the content of one of the project's files."""
    return (ROOT / name).read_text(encoding="utf-8")


def tracked():
    """Return the files that git tracks or would add."""
    # The test may run as another user than the clone's owner, which git would otherwise refuse.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def pins():
    """Return what constraints.txt says, by canonical name."""
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    pinned = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in pinned}


def targets():
    """Return the names of the Makefile's targets that a person may call."""
    return set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".ci/run"])
def test_every_make_target_a_document_names_exists(document):
    """`make X` in a document is a target of the Makefile."""
    named = set(re.findall(r"(?:^ +|`|exec )make (?:--no-print-directory )?([a-z-]+)", text(document), re.MULTILINE))
    assert named, f"{document} names no target at all"
    assert named <= targets()


def test_make_lists_its_targets():
    """Bare `make` explains every target a person may call, and runs none of them."""
    said = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"make ([a-z-]+) ", said)) == targets()


def test_every_extra_that_is_named_exists():
    """`.[judge]` and the like, wherever they are written, name extras of pyproject.toml."""
    named = {
        extra.strip()
        for document in ("README.md", "CONTRIBUTING.md", "Makefile", "constraints.txt")
        for group in re.findall(r"\"\.\[([a-z, ]+)\]\"", text(document))
        for extra in group.split(",")
    }
    assert {"judge", "torch", "dev"} <= named <= EXTRAS.keys()


def test_the_thin_command_line_needs_no_numbers_and_no_database():
    """A bare install brings neither NumPy nor PyTorch nor SQLAlchemy, directly or through another package."""
    needed = closure(PROJECT["dependencies"])
    assert needed >= {"typer", "rich", "msgspec", "platformdirs"}
    assert not needed & {"numpy", "torch", "sqlalchemy", "alembic", "pytest", "nbformat"}


def test_judging_numpy_exercises_needs_no_torch():
    """The extra `judge` never brings PyTorch."""
    needed = closure([*PROJECT["dependencies"], *EXTRAS["judge"]])
    assert "numpy" in needed
    assert "torch" not in needed


def test_torch_is_one_release():
    """A verdict depends on PyTorch: the extra names exactly one release, and the constraints the same."""
    assert EXTRAS["torch"] == [f"torch{pins()['torch']}"]


def test_everything_pip_would_install_is_pinned():
    """Every requirement of every extra stands in the constraints with one exact version, and fits pyproject."""
    requirements = [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]
    pinned = pins()
    assert closure(requirements) <= pinned.keys()
    assert all(str(specifier).startswith("==") for specifier in pinned.values())
    for requirement in map(Requirement, requirements):
        version = str(pinned[canonicalize_name(requirement.name)]).removeprefix("==")
        assert version in requirement.specifier, requirement


def closure(requirements):
    """Return the names of these requirements and of all they need here, as installed.

    What torch needs is left out: with CUDA it pins a dozen packages of its own to one version each.
    """
    found, waiting = set(), [(Requirement(each), "") for each in requirements]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        found.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) in seen or name == "torch":
                continue
            seen.add((name, wanted))
            waiting += [(Requirement(each), wanted) for each in metadata.requires(name) or []]
    return found


def test_version_stands_in_one_place():
    """The package's version is what the build gives the wheel, and the changelog has a place for changes."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "version"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert built.stdout.strip() == grader.__version__
    assert "version" in PROJECT["dynamic"]
    assert "## [Unreleased]" in text("CHANGELOG.md")


def test_readme_explains_every_verdict():
    """The README's table has one row for each verdict, best first."""
    rows = re.findall(r"^\| `([a-z_]+)` \|", text("README.md"), re.MULTILINE)
    assert rows[0] == Verdict.ACCEPTED
    assert sorted(rows) == sorted(Verdict)


def test_readme_links_and_places_exist():
    """Files and folders the README points to are there."""
    links = re.findall(r"\]\(([^):]+)\)", text("README.md"))
    places = re.findall(r"^\| `((?:[a-z]+/)+|[a-z]+\.txt)` \|", text("README.md"), re.MULTILINE)
    assert {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"} <= set(links)
    assert {"grader/", "exercises/", "reference/"} <= set(places)
    assert [name for name in (*links, *places) if not (ROOT / name).exists()] == []


def test_the_licence_is_whole():
    """LICENSE is the Apache License 2.0 from its title to its appendix, as pyproject.toml says."""
    licence = text("LICENSE")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "limitations under the License." in licence


def test_no_tracked_file_names_a_registry_or_a_machine():
    """Packages come from wherever the machine takes them; nothing depends on one machine's folders."""
    hosts = r"[a-z.-]*(?:pypi|pythonhosted|debian|npmjs)[a-z.-]*\.(?:org|com|net)\b"
    options = r"--(?:extra-)?index-url|--find-links"
    folders = r"(?<![\w.~/)}-])/(?:work|root|opt|home/[a-z]+)/"
    forbidden = re.compile(rf"{hosts}|{options}|{folders}")
    itself = Path(__file__)
    found = {}
    for path in tracked():
        content = path.read_bytes()
        if path != itself and (hit := forbidden.search(content.decode(errors="replace"))):
            found[str(path.relative_to(ROOT))] = hit[0]
    assert found == {}
