# ruff: noqa: INP001 - a script, not a package
"""Write service.lock anew: `python worker/compose/lock.py`, after a change to pyproject.toml or constraints.txt.

It holds what the extras of the service need, for both machines, in the versions of constraints.txt, with the hashes of
the wheels that pip fetches.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = ("judge", "docker", "server")
MACHINES = ("x86_64", "aarch64")
OLDER = "async-timeout==5.0.1"
"""What redis needs before Python 3.11.3."""
HEAD = """# The libraries of the service's images: what the extras judge, docker and server need, in the versions of
# constraints.txt, and async-timeout, which redis needs before Python 3.11.3. Made by lock.py.
# Wheels for CPython 3.11 on glibc, x86_64 first, aarch64 second where they differ.
"""


def main() -> None:
    """Fetch the wheels, hash them, write the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], OLDER]
    needed += [each for extra in EXTRAS for each in project["optional-dependencies"][extra]]
    pins = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line]
    spelt = {canonical(pin.partition("==")[0]): pin for pin in [*pins, OLDER]}
    hashes: dict[str, list[str]] = {}
    for machine in MACHINES:
        for wheel in fetch(needed, machine):
            name = spelt[canonical(wheel[0])]
            if wheel[1] not in hashes.setdefault(name, []):
                hashes[name].append(wheel[1])
    lines = [
        name + "".join(f" \\\n    --hash=sha256:{each}" for each in hashes[name])
        for name in sorted(hashes, key=lambda name: canonical(name.partition("==")[0]))
    ]
    (Path(__file__).with_name("service.lock")).write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fetch(needed: list[str], machine: str) -> list[tuple[str, str]]:
    """Return name and hash of each wheel that pip would install on such a machine."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version=3.11"]
    command += ["--implementation=cp", "--abi=cp311", f"--constraint={ROOT / 'constraints.txt'}"]
    command += [f"--platform=manylinux_{glibc}_{machine}" for glibc in ("2_28", "2_27", "2_17")]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, f"--dest={folder}", *needed], check=True)  # noqa: S603 - the project's own words
        wheels = sorted(Path(folder).glob("*.whl"))
        return [(wheel.name.partition("-")[0], hashlib.sha256(wheel.read_bytes()).hexdigest()) for wheel in wheels]


if __name__ == "__main__":
    main()
