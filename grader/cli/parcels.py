"""What is being sent: kept on disk, with its idempotency key, from before the first try until the server has answered.

What another process left behind, killed or without an answer, goes first at the next `grader submit`: under the key it
had, so that the server stores it once, whether or not it had arrived.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from grader.errors import OurFault


class Content(msgspec.Struct, frozen=True):
    """What is sent, by whom, where to, and under which key."""

    schema: str
    key: str
    server: str
    account: str
    exercise: str
    filename: str
    source: bytes
    created_at: float
    """Seconds since 1970."""
    device: str = ""

    def same(self, other: "Content") -> bool:
        """Tell whether both are one submission, but for key and time."""
        return msgspec.structs.replace(other, key=self.key, created_at=self.created_at) == self


def content(server: str, account: str, exercise: str, filename: str, source: bytes, device: str = "") -> Content:
    """Return a new submission, under a key of its own."""
    key = secrets.token_hex(16)
    return Content("grader/parcel/1", key, server, account, exercise, filename, source, time.time(), device)


class Parcel:
    """A file that this process holds the lock of; who finds it unlocked finds an orphan."""

    def __init__(self, path: Path, descriptor: int, held: Content, *, orphan: bool) -> None:
        """Hold a file that is open and locked."""
        self.content = held
        self.orphan = orphan
        self._path = path
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        """Hold it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go; unless it was dropped, it stays for the next process."""
        os.close(self._descriptor)

    def drop(self) -> None:
        """Remove the file: the server has answered."""
        self._path.unlink(missing_ok=True)


def add(folder: Path, held: Content) -> Parcel:
    """Write a parcel, and return when it is on the disk. Raises OurFault E3101."""
    path = folder / f"{held.key}.json"
    made = path.with_suffix(".tmp")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(made, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(msgspec.json.encode(held))
            os.fsync(descriptor)
            made.replace(path)
            _sync(folder)
        except OSError:
            os.close(descriptor)
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OurFault(
            "E3101",
            "the submission cannot be kept until it has arrived",
            cause=f"{folder}: {error.strerror}; nothing was sent",
            hint="make the folder writable, or set GRADER_HOME to one that is",
        ) from error
    return Parcel(path, descriptor, held, orphan=False)


def orphans(folder: Path, server: str, account: str) -> Iterator[Parcel]:
    """Yield what an account's processes have left behind, the oldest first; the caller lets each go."""
    found = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(found):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            continue  # another process was quicker
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = msgspec.json.decode(path.read_bytes(), type=Content)
        except (OSError, msgspec.MsgspecError):  # somebody sends it, or has; or it is none
            os.close(descriptor)
            continue
        if (held.server, held.account) == (server, account):
            yield Parcel(path, descriptor, held, orphan=True)
        else:
            os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
