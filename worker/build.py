"""Build the images of the engine `docker`: `grader sandbox build`.

`worker/images/` alone decides what is in an image; this module fetches the wheels, finds or makes the base and hands
both to the daemon. An image's name holds a hash of all it is built from but the base, whose digest stands in a label.
"""

import fcntl
import hashlib
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grader
from grader.engine import Kind
from grader.errors import OurFault

KINDS: tuple[Kind, ...] = ("numpy", "torch")
IMAGES = Path(__file__).parent / "images"
HARNESS = Path(grader.__file__).parent / "harness.py"
DEFAULT_BASE = "python:3.11-slim-bookworm"
_SUITE = "bookworm"  # Debian's release whose Python is 3.11
_PACKAGES = "python3"
_REGISTRY_SECONDS = 20
_BUILD_SECONDS = 1800
_PIP_TARGET = ["--python-version=3.11", "--implementation=cp", "--abi=cp311"]
_PIP_TARGET += [f"--platform=manylinux_{glibc}_{platform.machine()}" for glibc in ("2_28", "2_27", "2_17")]

Tell = Callable[[str], None]


def image_name(kind: Kind) -> str:
    """Return the name of the image of `kind` that belongs to this grader."""
    return f"grader-sandbox:{kind}-{version(kind)}"


def version(kind: Kind) -> str:
    """Return 12 hex digits over everything the image of `kind` is built from but its base."""
    return _hash(*(path.read_bytes() for path in _sources(kind).values()))


def _sources(kind: Kind) -> dict[str, Path]:
    """Map names in the build's context to files; the wheels, which follow from the lock file, are not among them."""
    return {
        "Dockerfile": IMAGES / "Dockerfile",
        "assemble.py": IMAGES / "assemble.py",
        "libraries.lock": IMAGES / f"{kind}.lock",
        "harness.py": HARNESS,
    }


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:12]


def build(kinds: list[Kind], base: str, tell: Tell, *, force: bool = False) -> int:
    """Build the images that are missing, all kinds if none is named; `force` builds anew, with a fresh base.

    `base` names an image with Python 3.11; nothing stands for the default. Raises OurFault.
    """
    from worker import docker  # noqa: PLC0415 - it imports this module

    client = docker.connect()
    client.timeout = _BUILD_SECONDS
    try:
        with _alone():
            wanted = [kind for kind in kinds or KINDS if force or not _present(client, image_name(kind))]
            for kind in kinds or KINDS:
                if kind not in wanted:
                    tell(f"{image_name(kind)} is there already")
            if wanted:
                digest = find_base(client, base, tell, fresh=force)
            for kind in wanted:
                tell(f"{image_name(kind)}: fetching wheels")
                wheels = fetch(IMAGES / f"{kind}.lock", wheelhouse())
                _build(client, kind, digest, wheels, tell)
    except OSError as error:
        raise _unbuilt(str(getattr(error, "explanation", None) or error)) from error
    finally:
        client.close()
    return 0


def _present(client: Any, name: str) -> bool:
    from docker.errors import ImageNotFound  # noqa: PLC0415 - an extra

    try:
        client.inspect_image(name)
    except ImageNotFound:
        return False
    return True


def wheelhouse() -> Path:
    """Return the folder that keeps wheels between builds."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - the name of an image is asked for more often

    return user_cache_path("grader") / "wheels"


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process build at a time, so that the next finds what it made."""
    wheelhouse().mkdir(parents=True, exist_ok=True)
    with (wheelhouse() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def requirements(lock: Path) -> dict[str, set[str]]:
    """Map `name==version` to the hashes that a lock file in pip's format allows."""
    entry = re.compile(r"^(\S+==\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)
    entries = entry.findall(lock.read_text(encoding="utf-8"))
    return {name: set(re.findall(r"sha256:(\w+)", hashes)) for name, hashes in entries}


def fetch(lock: Path, into: Path) -> list[Path]:
    """Return the wheels of a lock file, each with an allowed hash; pip brings those that `into` lacks."""
    wanted = requirements(lock)
    into.mkdir(parents=True, exist_ok=True)
    kept = _by_hash(into)
    missing = {name: hashes for name, hashes in wanted.items() if not hashes & kept.keys()}
    if missing:
        _download(missing, into)
        kept = _by_hash(into)
    return [kept[(hashes & kept.keys()).pop()] for hashes in wanted.values()]


def _by_hash(folder: Path) -> dict[str, Path]:
    """Map the hash of each wheel for this machine to its file."""
    wheels = (path for path in folder.glob("*.whl") if path.name.endswith(("-any.whl", f"_{platform.machine()}.whl")))
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in wheels}


def _download(missing: dict[str, set[str]], into: Path) -> None:
    """Fetch wheels for the image's Python with the pip of this machine, and its configuration."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        for name, hashes in missing.items():
            file.write(f"{name} {' '.join(f'--hash=sha256:{each}' for each in sorted(hashes))}\n")
        file.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--require-hashes", "--no-deps", "--only-binary=:all:", *_PIP_TARGET]
        command += [f"--requirement={file.name}", f"--dest={into}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no word of a stranger's
    if ran.returncode:
        said = "\n".join(line for line in ran.stderr.splitlines() if line and not line.startswith("WARNING"))
        hint = "look at pip's configuration; torch without CUDA is on PyTorch's index of CPU wheels (extra-index-url)"
        if "DO NOT MATCH" in said:
            hint = "an index offers other bytes than were locked: " + hint
        raise _unbuilt(said, "the wheels of the image cannot be fetched", hint)


def find_base(client: Any, name: str, tell: Tell, *, fresh: bool = False) -> str:
    """Return a base by its digest: the image `name`, else the official one, else one made from packages."""
    try:
        return _resolve(client, name or DEFAULT_BASE, tell)
    except OSError as error:
        said = str(getattr(error, "explanation", None) or error)
        if name:
            raise _unbuilt(said, f"the base {name} cannot be had", f"look at the name: docker pull {name}") from error
        tell(f"{DEFAULT_BASE} cannot be pulled: {said}")
    made = f"grader-base:{_hash(_SUITE.encode(), _PACKAGES.encode())}"
    if fresh or not _present(client, made):
        tell(f"{made}: making it from {_SUITE}'s packages, which takes a minute")
        _bootstrap(client, made)
    return str(client.inspect_image(made)["Id"])


def _resolve(client: Any, name: str, tell: Tell) -> str:
    """Return `name@sha256:...` after pulling it, or the id of an image that was made here. Raises OSError."""
    if _present(client, name):
        image = client.inspect_image(name)
        if not image["RepoDigests"] or "@" in name:
            return str((image["RepoDigests"] or [image["Id"]])[0])
    client.timeout = _REGISTRY_SECONDS
    try:
        digest = client.inspect_distribution(name)["Descriptor"]["digest"]
    finally:
        client.timeout = _BUILD_SECONDS
    repository = re.sub(r"(:[^:/]+)?(@.*)?$", "", name)
    tell(f"{name}: pulling {digest}")
    for event in client.pull(f"{repository}@{digest}", stream=True, decode=True):
        if "error" in event:
            raise OSError(event["error"])
    return f"{repository}@{digest}"


def _bootstrap(client: Any, tag: str) -> None:
    """Make an image of the distribution's packages. Raises OurFault."""
    what, other = "the base of the images cannot be made", "or name an image with Python 3.11: --base IMAGE"
    if os.geteuid():
        raise OurFault("E4115", what, cause="debootstrap needs root", hint=f"run it with sudo, {other}")
    mirror = mirror_of(_indexes())
    if not mirror:
        cause = f"apt's configuration names no mirror of {_SUITE}"
        raise OurFault("E4115", what, cause=cause, hint=f"add one to /etc/apt/sources.list, {other}")
    with tempfile.TemporaryDirectory(prefix="grader-base-") as folder:
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, folder, mirror]
        try:
            ran = subprocess.run(command, env=os.environ | _proxies(), capture_output=True, text=True, check=False)  # noqa: S603 - as above
        except FileNotFoundError as error:
            hint = f"apt-get install debootstrap, {other}"
            raise OurFault("E4115", what, cause="debootstrap is not installed", hint=hint) from error
        if ran.returncode:
            raise _unbuilt(ran.stdout + ran.stderr, what, f"see that {mirror} can be reached, {other}")
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:  # noqa: S603, S607 - as above
            client.import_image_from_stream(tar.stdout, *tag.split(":"))


def _indexes() -> str:
    """Return apt's own list of the indexes it reads, in whichever format its sources are written."""
    form = "$(CREATED_BY) $(RELEASE) $(COMPONENT) $(SITE)"
    return _apt("apt-get", "indextargets", "--no-release-info", "--format", form)  # of those not yet fetched too


def _proxies() -> dict[str, str]:
    """Return apt's proxies as the variables that debootstrap heeds."""
    said = _apt("apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy")
    return {f"{scheme}_proxy": proxy for scheme, proxy in re.findall(r'Acquire::(https?)::Proxy "(.+)";', said)}


def _apt(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - as above
    except FileNotFoundError:
        return ""


def mirror_of(indexes: str) -> str:
    """Return the mirror of the release's main component in apt's list, or nothing."""
    found = re.search(rf"^Packages {_SUITE} main (\S+)$", indexes, re.MULTILINE)
    return found.group(1) if found else ""


def _build(client: Any, kind: Kind, base: str, wheels: list[Path], tell: Tell) -> None:
    """Build one image. Raises OurFault and OSError; leaves no image of the first stage behind."""
    name = image_name(kind)
    labels = {
        "org.opencontainers.image.title": f"grader sandbox: {kind}",
        "org.opencontainers.image.version": version(kind),
        "grader.sandbox.kind": kind,
        "grader.sandbox.version": version(kind),
        "grader.sandbox.base": base,
    }
    tell(f"{name}: building on {base}")
    said = ""
    with tempfile.TemporaryFile() as context:
        _pack(context, {**_sources(kind), **{f"wheels/{path.name}": path for path in wheels}})
        options = {"network_mode": "none", "buildargs": {"BASE": base}, "labels": labels, "rm": True, "forcerm": True}
        try:
            for event in client.build(
                fileobj=context, custom_context=True, encoding=None, tag=name, decode=True, nocache=True, **options
            ):
                said += event.get("stream", "") + event.get("error", "")
                if step := re.match(r"Step \d+/\d+ : ((COPY|RUN) .*)", event.get("stream", "")):
                    tell(f"  {step[1]}")
                if "error" in event:
                    raise _unbuilt(said)
        finally:
            client.prune_images({"label": ["grader.sandbox.stage=assembly"]})
    tell(f"{name}: done, {client.inspect_image(name)['Size'] / 1e6:.0f} MB")


def _pack(context: IO[bytes], files: dict[str, Path]) -> None:
    """Write the tar that is all a build sees: names and contents, and nothing of who owns the files here."""
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, path in files.items():
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(member, content)
    context.seek(0)


def _unbuilt(said: str, what: str = "the image could not be built", hint: str = "") -> OurFault:
    """Return the error for what a tool said last."""
    cause = "\n".join(said.strip().splitlines()[-6:])
    if "no space left" in cause.lower():
        return OurFault("E4108", "the disk is full", cause=cause, hint="docker system df shows what is big on Docker's")
    hint = hint or "the base must be an image with glibc and Python 3.11"
    return OurFault("E4115", what, cause=cause, hint=hint)
