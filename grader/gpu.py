"""The NVIDIA GPUs of this machine, as `nvidia-smi` tells of them; nothing here computes on one.

A GPU that is cut into slices (MIG) is offered slice by slice, and never whole. Whoever judges holds a lock on what it
uses, whatever database it works from, so that one judging at a time has it.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from grader.errors import NoGpu, OurFault

_SECONDS = 20.0
_LISTED = ("uuid", "name", "driver_version", "memory.total", "mig.mode.current")
_STATE = ("compute_mode", "persistence_mode", "ecc.mode.current", "power.limit", "clocks.max.sm", "clocks.max.mem")
"""What no judging may change for the next one."""
_HEALTH = (
    "ecc.errors.uncorrected.volatile.total", "retired_pages.pending", "remapped_rows.pending", "remapped_rows.failure",
)  # fmt: skip
_THROTTLED = {
    "hw_slowdown": "it is too hot, or has too little power",
    "sw_thermal_slowdown": "it is too hot",
    "hw_thermal_slowdown": "it is too hot",
    "hw_power_brake_slowdown": "its power is cut from outside",
}
"""The reasons for lower clocks that make a time worthless; that a busy GPU keeps within its power is none of them."""
_PEAKS = {
    "B200": (370e12, 8.0e12),
    "GH200": (165e12, 4.9e12),
    "H200": (165e12, 4.8e12),
    "H100 PCIe": (126e12, 2.0e12),
    "H100 NVL": (140e12, 3.9e12),
    "H100": (165e12, 3.35e12),
    "A100": (52e12, 2.04e12),
    "L40S": (92e12, 0.864e12),
    "L4": (31e12, 0.3e12),
    "A10": (32e12, 0.6e12),
    "T4": (8.2e12, 0.32e12),
}
"""By the model's name: float32 operations a second, at best (three products in TF32 make one that is as exact), and
bytes a second to and from memory. Source: NVIDIA's data sheets, dense."""
_NONE = ("[n/a]", "n/a", "[not supported]", "not supported", "")
_UNKNOWN = re.compile(r'Field "([\w.]+)" is not a valid field')
_SLICE = re.compile(r"^\s+MIG (?P<profile>\S+)\s.*\(UUID: (?P<id>MIG-[\w/.-]+)\)", re.MULTILINE)
_WHOLE = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[\w-]+)\)$", re.MULTILINE)
_SLICE_MEMORY = re.compile(r"\.(\d+)gb")


@dataclass(frozen=True)
class Gpu:
    """A GPU or a slice of one; `board` is the id of the whole GPU."""

    id: str
    board: str
    model: str
    driver: str
    memory_mib: int


@dataclass(frozen=True)
class State:
    """What a board's driver says of it: settings, counters of faults, why its clocks are low, who computes on it."""

    settings: dict[str, str]
    health: dict[str, str]
    throttled: list[str]
    processes: list[int]

    def faults(self) -> list[str]:
        """Say what is broken, if anything is."""
        return [f"{name} is {value}" for name, value in self.health.items() if value.lower() not in (*_NONE, "0", "no")]

    def changes(self, since: "State") -> list[str]:
        """Say which settings are not as they were."""
        pairs = [(name, since.settings.get(name, ""), value) for name, value in self.settings.items()]
        return [f"{name} is {now}, and was {before}" for name, before, now in pairs if now != before]


def found() -> list[Gpu]:
    """Return the GPUs and slices of this machine that may be used, none where there is no driver."""
    try:
        rows = _query("--query-gpu=" + ",".join(_LISTED))
        listing = _smi("-L")
    except OurFault:
        return []
    allowed = [each for each in os.environ.get("GRADER_DOCKER_GPUS", "").split(",") if each not in ("", "all")]
    gpus = parse(rows, listing)
    return [gpu for gpu in gpus if not allowed or {gpu.id, gpu.board} & set(allowed)]


def parse(rows: Sequence[Sequence[str]], listing: str) -> list[Gpu]:
    """Put together what a query tells of the boards and a listing of their slices."""
    slices: dict[str, list[tuple[str, str]]] = {}
    board = ""
    for line in listing.splitlines():
        if whole := _WHOLE.match(line):
            board = whole[1]
        elif part := _SLICE.match(line):
            slices.setdefault(board, []).append((part["id"], part["profile"]))
    gpus = []
    for uuid, name, driver, memory, mig in rows:
        if mig.lower() != "enabled":
            gpus.append(Gpu(uuid, uuid, name, driver, _whole_number(memory)))
        for slice_id, profile in slices.get(uuid, []) if mig.lower() == "enabled" else []:
            size = _SLICE_MEMORY.search(profile)
            gpus.append(Gpu(slice_id, uuid, f"{name} MIG {profile}", driver, int(size[1]) << 10 if size else 0))
    return gpus


def state(board: str) -> State:
    """Return what the driver says of a board now. Raises OurFault E4132 where it does not answer."""
    reasons = [f"clocks_event_reasons.{each}" for each in _THROTTLED]
    told = _ask(board, [*_STATE, *_HEALTH, *reasons])
    pids = [row[0] for row in _query("--query-compute-apps=pid", f"--id={board}")]
    return State(
        settings={name: told[name] for name in _STATE},
        health={name: told[name] for name in _HEALTH},
        throttled=[name for name, each in zip(_THROTTLED, reasons, strict=True) if told[each].lower() == "active"],
        processes=[int(pid) for pid in pids if pid.isdigit()],
    )


def _ask(board: str, names: list[str]) -> dict[str, str]:
    """Return what a driver tells under these names; those that it has in no spelling are not to be had."""
    asked = {name: name for name in names}
    while asked:
        try:
            rows = _query("--query-gpu=" + ",".join(asked.values()), f"--id={board}")
        except OurFault as fault:
            unknown = _UNKNOWN.search(fault.cause)
            name = next((name for name, each in asked.items() if unknown and each == unknown[1]), "")
            if not name:
                raise
            older = name.replace("clocks_event_reasons", "clocks_throttle_reasons")
            if asked[name] != older:
                asked[name] = older
            else:
                del asked[name]
            continue
        if len(rows) != 1 or len(rows[0]) != len(asked):
            raise _broken(f"it tells of {len(rows)} GPUs where {board} was asked for")
        return dict.fromkeys(names, "n/a") | dict(zip(asked, rows[0], strict=True))
    return dict.fromkeys(names, "n/a")


def unfit(before: State, after: State, ours: int) -> str:
    """Say why nothing that was timed between two looks counts, if so; `ours`: how many processes were the judging's."""
    for each in (before, after):
        if each.throttled:
            return f"{each.throttled[0]}: {_THROTTLED[each.throttled[0]]}"
        if len(each.processes) > ours:
            return f"{len(each.processes)} processes used it, and {ours} of them were ours"
    return ""


def floor(gpu: Gpu, flops: float, traffic: float) -> float | None:
    """Return the seconds that so much takes at least on a model that is known; a slice is no faster than the whole."""
    for name, (operations, memory) in _PEAKS.items():
        if re.search(rf"\b{re.escape(name)}(?![0-9])", gpu.model):
            return max(flops / operations, traffic / memory) or None
    return None


def environment(gpu: str, folder: str) -> dict[str, str]:
    """Return what a process must be told that computes on a GPU and keeps its caches in a folder of its own."""
    return {
        "CUDA_VISIBLE_DEVICES": gpu,
        "CUDA_CACHE_PATH": f"{folder}/cuda",
        "TRITON_CACHE_DIR": f"{folder}/triton",
        "HOME": folder,
        "TMPDIR": folder,
    }


def hold(wanted: str = "") -> Gpu:
    """Hold a GPU, this one or any, to the end of this process, against all others here. Raises NoGpu E4130, E4131."""
    gpus = [gpu for gpu in found() if wanted in ("", gpu.id)]
    if not gpus:
        cause = f"it has none with the id {wanted}" if wanted else "nvidia-smi shows none that may be used"
        hint = "judge where there is one; --device cpu where the exercise has both"
        raise NoGpu("E4130", "this machine has no GPU to judge on", cause=cause, hint=hint)
    for gpu in gpus:
        descriptor = _open_lock(gpu.id)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return gpu  # the lock goes with the process
    cause = f"another judging holds {', '.join(gpu.id for gpu in gpus)}"
    raise NoGpu("E4131", "every GPU that could be used is in use", cause=cause, hint="try again when it has ended")


def _open_lock(gpu: str) -> int:
    """Open the file that stands for a GPU; somebody else's may be read only, which is enough for a lock."""
    path = os.path.join(tempfile.gettempdir(), f"grader-gpu-{re.sub('[^A-Za-z0-9-]', '_', gpu)}.lock")  # noqa: PTH118 - a name, not a path, is made
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _query(what: str, *options: str) -> list[list[str]]:
    said = _smi(what, "--format=csv,noheader,nounits", *options)
    return [[field.strip() for field in line.split(",")] for line in said.splitlines() if line.strip()]


def _smi(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise _broken("there is no nvidia-smi")
    try:
        ran = subprocess.run(  # noqa: S603 - found above, and no word of a submission's
            [program, *arguments], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _broken(f"nvidia-smi: {error}") from error
    if ran.returncode:
        raise _broken(" ".join((ran.stdout + ran.stderr).split()) or f"nvidia-smi: exit {ran.returncode}")
    return ran.stdout


def _broken(cause: str) -> OurFault:
    return OurFault("E4132", "the GPU's driver does not answer", cause=cause, hint="see nvidia-smi")


def _whole_number(text: str) -> int:
    return int(text) if text.isdigit() else 0
