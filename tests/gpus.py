"""A driver's program as a machine with GPUs has it: it prints what a test has written for it."""

import json
from pathlib import Path

H100 = "GPU-11111111-2222-3333-4444-555555555555"
A100 = "GPU-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
SLICES = ("MIG-99999999-1111-5222-8333-444444444444", "MIG-99999999-1111-5222-8333-555555555555")
GOOD = {
    "compute_mode": "Default",
    "persistence_mode": "Enabled",
    "ecc.mode.current": "Enabled",
    "power.limit": "700.00",
    "clocks.max.sm": "1980",
    "clocks.max.mem": "2619",
    "ecc.errors.uncorrected.volatile.total": "0",
    "retired_pages.pending": "No",
    "remapped_rows.pending": "No",
    "remapped_rows.failure": "No",
    "clocks_event_reasons.hw_slowdown": "Not Active",
    "clocks_event_reasons.sw_thermal_slowdown": "Not Active",
    "clocks_event_reasons.hw_thermal_slowdown": "Not Active",
    "clocks_event_reasons.hw_power_brake_slowdown": "Not Active",
}
_PROGRAM = """#!/bin/sh
"exec" "{python}" "$0" "$@"  # the shell does; a first line names no path with a space
import json, sys
told = json.load(open({path!r}))
options = dict(each.partition("=")[::2] for each in sys.argv[1:])
if told["fails"]:
    print(told["fails"])
    sys.exit(9)
boards = {{uuid: board for uuid, board in told["boards"].items() if options.get("--id", uuid) == uuid}}
if "-L" in options:
    for number, (uuid, board) in enumerate(boards.items()):
        print(f"GPU {{number}}: {{board['name']}} (UUID: {{uuid}})")
        for place, part in enumerate(board["slices"]):
            print(f"  MIG 1g.10gb     Device  {{place}}: (UUID: {{part}})")
elif "--query-compute-apps" in options:
    for board in boards.values():
        for pid in board["processes"]:
            print(pid)
else:
    names = options["--query-gpu"].split(",")
    for uuid, board in boards.items():
        known = {{"uuid": uuid, "name": board["name"], "driver_version": "580.65.06", "memory.total": "81559",
                 "mig.mode.current": "Enabled" if board["slices"] else "Disabled", **board["state"]}}
        for name in names:
            if name not in known:
                print(f'Field "{{name}}" is not a valid field to query.')
                sys.exit(2)
        print(", ".join(known[name] for name in names))
"""


class Machine:
    """What `nvidia-smi` tells; a change holds from the next call on."""

    def __init__(self, folder: Path, python: str) -> None:
        """Put the program into a folder, with no GPU yet."""
        self._path = folder / "told.json"
        self.boards: dict[str, dict[str, object]] = {}
        self.fails = ""
        program = folder / "nvidia-smi"
        program.write_text(_PROGRAM.format(python=python, path=str(self._path)), encoding="utf-8")
        program.chmod(0o755)
        self.tell()

    def add(self, uuid: str, name: str = "NVIDIA H100 80GB HBM3", slices: tuple[str, ...] = ()) -> None:
        """Put in a GPU."""
        self.boards[uuid] = {"name": name, "slices": list(slices), "processes": [], "state": dict(GOOD)}
        self.tell()

    def change(self, uuid: str, **state: str) -> None:
        """Change what is told of a GPU, underscores for points: `ecc_errors`... by its exact name in `state`."""
        told = self.boards[uuid]["state"]
        assert isinstance(told, dict)
        told.update(state)
        self.tell()

    def tell(self) -> None:
        """Write it down, whole."""
        made = self._path.with_suffix(".new")
        made.write_text(json.dumps({"boards": self.boards, "fails": self.fails}), encoding="utf-8")
        made.replace(self._path)
