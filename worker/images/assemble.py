"""Assemble the root folder of a sandbox's image from the base it runs in and the wheels beside it.

It runs in the first stage of the Dockerfile, as root and without a network. What is taken is named; all else of the
base stays behind: no shell, no package manager, no compiler. Only Python and the dynamic loader may be executed.
"""

import compileall
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

HERE = Path("/assembly")
ROOT = HERE / "root"
LIBRARIES = ROOT / "sandbox/lib"
PYTHON = Path(sys.executable).resolve()
STANDARD = Path(sysconfig.get_path("stdlib"))
LOADER = next(Path("/").glob("lib*/ld-linux*.so.*"), Path("no glibc"))
# Installing, compiling, windows, tests: nothing that a submission can use.
NOT_STANDARD = (
    "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "nis.*", "pydoc_data", "site-packages",
    "sitecustomize.py", "test", "tkinter", "turtledemo", "venv", "__pycache__",
)  # fmt: skip
NOT_LIBRARIES = re.compile(
    r"torch/(test|include|share)/|torch/bin/(?!torch_shm_manager$)|torch/testing/_internal/py312_intrinsics\.py"
    r"|numpy/(f2py|distutils|_pyinstaller)/|(.*/)?tests/|[^/]+\.data/(scripts|headers|data)/|.*\.(a|pyi|c|h|pyx|pxd)$"
)


def unpack(wheel: Path) -> None:
    """Unpack a wheel whose hash stands in the lock file."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if f"--hash=sha256:{digest}" not in (HERE / "libraries.lock").read_text(encoding="utf-8"):
        sys.exit(f"{wheel.name}: its hash is not in the lock file")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(LIBRARIES, [name for name in archive.namelist() if not NOT_LIBRARIES.match(name)])
    for part in LIBRARIES.glob("*.data/*lib"):
        shutil.copytree(part, LIBRARIES, dirs_exist_ok=True)
        shutil.rmtree(part.parent)


def placed(path: Path) -> Path:
    """Return a file's place below the root, with symbolic links among its folders resolved."""
    return ROOT / (path.parent.resolve() / path.name).relative_to("/")


def copy(path: Path) -> None:
    """Copy a file to its place."""
    place = placed(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)


def loaded(binary: Path) -> set[Path]:
    """List the shared libraries of the base that a binary loads."""
    listed = subprocess.run([LOADER, "--list", binary], capture_output=True, text=True, check=False).stdout  # noqa: S603 - the loader itself
    paths = {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}
    return {path for path in paths if not path.is_relative_to(ROOT)}


def main() -> None:
    """Assemble it."""
    if sys.version_info[:2] != (3, 11) or not LOADER.exists():
        sys.exit(f"the base has Python {sys.version.split()[0]}, loader {LOADER}; the wheels need 3.11 and glibc")
    LIBRARIES.mkdir(parents=True)
    for wheel in sorted((HERE / "wheels").iterdir()):
        unpack(wheel)
    shutil.copytree(
        STANDARD,
        ROOT / STANDARD.relative_to("/"),
        ignore=shutil.ignore_patterns(*NOT_STANDARD),
        ignore_dangling_symlinks=True,
    )
    copy(PYTHON)
    placed(PYTHON).with_name("python3").symlink_to(PYTHON.name)

    binaries = [PYTHON, *(path for path in ROOT.rglob("*") if ".so" in path.suffixes)]
    needed = set().union(*map(loaded, binaries))
    libc = next(path for path in needed if path.name == "libc.so.6")
    # The C library loads libgcc_s by name when a thread ends, and finds what lies elsewhere by its cache.
    for path in (*needed, LOADER, libc.with_name("libgcc_s.so.1"), Path("/etc/ld.so.cache")):
        copy(path)
    for name in ("lib", "lib64"):
        if Path("/", name).is_symlink():
            (ROOT / name).symlink_to(Path("/", name).readlink())

    for folder in (LIBRARIES, ROOT / STANDARD.relative_to("/")):
        if not compileall.compile_dir(
            folder,
            maxlevels=30,
            quiet=1,
            workers=0,
            stripdir=str(ROOT),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        ):
            sys.exit("some file could not be compiled")
    executable = {placed(PYTHON), placed(LOADER)}
    for path in (ROOT, *ROOT.rglob("*")):
        os.chown(path, 0, 0, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in executable else 0o644)
        os.utime(path, (0, 0), follow_symlinks=False)  # the same files make the same layer, which is kept once


main()
