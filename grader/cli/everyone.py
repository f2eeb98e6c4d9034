"""What `doctor`, `explain`, `version` and `completion` do."""

import dataclasses
import difflib
import importlib.util
import platform
from importlib import metadata

from grader import __version__, gpu
from grader.cli import terminal
from grader.engine import ISOLATING, KINDS, Finding, Kind, engine
from grader.errors import GraderError, NotFound, UsageError
from grader.exercise import Limits
from grader.explain import CATALOGUE, Entry

SHELLS = ("bash", "zsh", "fish")
_JUDGES_WITH = ("numpy", "torch", "pytest", "sqlalchemy")


def explain(code: str, *, json: bool) -> int:
    """Print one entry of the catalogue, or all of them."""
    wanted = code.lower() if code.lower() in CATALOGUE else code.upper()
    if code and wanted not in CATALOGUE:
        near = difflib.get_close_matches(wanted, CATALOGUE, n=1)
        raise NotFound(
            "E5104",
            f"there is no error code or verdict {code!r}",
            hint=f"did you mean `grader explain {near[0]}`?" if near else "grader explain",
        )
    entries = {wanted: CATALOGUE[wanted]} if code else CATALOGUE
    if json:
        answer = {"schema": "grader/explanations/1", "explanations": entries}
        terminal.answer_json(answer)
    elif code:
        terminal.answer(_whole(wanted, entries[wanted]))
    else:
        terminal.answer("\n".join(f"{name}  {entry.what}" for name, entry in entries.items()))
    return 0


def _whole(code: str, entry: Entry) -> str:
    return f"{code}: {entry.what}\n\ncause: {entry.cause}\nhint: {entry.hint}"


def version(*, json: bool) -> int:
    """Print our version and those of what judging needs; an absent one says so."""
    versions = {"grader": __version__, "python": platform.python_version()}
    for name in _JUDGES_WITH:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    if json:
        answer = {"schema": "grader/version/1", **versions}
        terminal.answer_json(answer)
    else:
        terminal.answer("\n".join(f"{name} {each or 'not installed'}" for name, each in versions.items()))
    return 0


def doctor(*, json: bool) -> int:
    """Print what each engine finds on this machine, and start a sandbox by each.

    The exit code is 0 where all that this installation can judge is judged by an engine that isolates.
    """
    kinds = [kind for kind in KINDS if importlib.util.find_spec(kind)]
    findings: dict[str, list[Finding]] = {}
    faults: dict[tuple[str, Kind], GraderError] = {}
    chosen: dict[Kind, str] = {}
    for name in ISOLATING:
        try:
            found = engine(name)
            findings[name] = found.examine()
        except GraderError as error:
            findings[name] = [Finding("installed", ok=False, seen=error.what, remedy=error.hint)]
            continue
        for kind in kinds:
            try:
                found.check(kind)
                chosen.setdefault(kind, name)  # as `auto` does it, which starts nothing to try
                found.start(kind, Limits()).kill()
            except GraderError as error:
                faults[name, kind] = error
    auto = {kind: chosen.get(kind, "local") for kind in kinds}
    gpus = _gpus()
    if json:
        told = [
            {"engine": name, "kind": kind, "code": each.code, "what": each.what, "cause": each.cause, "hint": each.hint}
            for (name, kind), each in faults.items()
        ]
        listed = {name: [dataclasses.asdict(each) for each in found] for name, found in findings.items()}
        terminal.answer_json(
            {"schema": "grader/doctor/1", "engines": listed, "faults": told, "auto": auto, "gpus": gpus}
        )
    else:
        from grader.cli import pages  # noqa: PLC0415 - Rich is slow, and JSON does without

        terminal.show(*pages.doctor_page(findings, faults, auto, gpus))
    works = all(kind in chosen and (chosen[kind], kind) not in faults for kind in kinds)
    return 0 if kinds and works else 1


def _gpus() -> list[Finding]:
    """Say of each GPU of this machine what it is, whether it is in order, and how many processes compute on it."""
    found = []
    for each in gpu.found():
        about = f"{each.model}, driver {each.driver}, {each.memory_mib} MiB"
        try:
            state = gpu.state(each.board)
        except GraderError as error:
            found.append(Finding(each.id, ok=False, seen=f"{about}, {error.what}: {error.cause}", remedy=error.hint))
            continue
        notes = [*state.faults(), *(f"throttled: {reason}" for reason in state.throttled)]
        used = f"{len(state.processes)} processes on it" if state.processes else "nothing runs on it"
        seen = ", ".join([about, used, *notes])
        remedy = "see nvidia-smi -q; a GPU with memory errors needs a reset or a replacement" if state.faults() else ""
        found.append(Finding(each.id, ok=not state.faults(), seen=seen, remedy=remedy))
    return found


def completion(shell: str) -> int:
    """Print a shell's completion script, and say where it belongs."""
    if shell not in SHELLS:
        raise UsageError("E2101", f"there is no completion for {shell!r}", hint=f"one of {', '.join(SHELLS)}")
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 - private, and slow

    script = get_completion_script(prog_name="grader", complete_var="_GRADER_COMPLETE", shell=shell)
    terminal.answer(script)
    places = {
        "bash": 'eval "$(grader completion bash)" in ~/.bashrc',
        "zsh": 'eval "$(grader completion zsh)" in ~/.zshrc, after compinit',
        "fish": "grader completion fish > ~/.config/fish/completions/grader.fish",
    }
    terminal.hint(places[shell])
    return 0
