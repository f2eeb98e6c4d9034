"""Where this person is logged in: `credentials.json` in the platform's configuration folder, for its owner alone."""

import contextlib
import os
import secrets
from pathlib import Path

import msgspec
import platformdirs

from grader.errors import UsageError

_OTHERS = 0o077


class Login(msgspec.Struct, frozen=True):
    """A token, and whose account it is: `organisation/name`."""

    token: str
    account: str


class Logins(msgspec.Struct, frozen=True):
    """Logins by the server's address; `default` is the server that was logged in to last."""

    schema: str = "grader/credentials/1"
    default: str = ""
    servers: dict[str, Login] = {}

    def with_login(self, server: str, login: Login) -> "Logins":
        """Return the logins with one more."""
        return msgspec.structs.replace(self, default=server, servers={**self.servers, server: login})

    def without(self, server: str) -> "Logins":
        """Return the logins without one."""
        left = {name: login for name, login in self.servers.items() if name != server}
        return msgspec.structs.replace(self, default="" if server == self.default else self.default, servers=left)


def path() -> Path:
    """Return the file's place."""
    return platformdirs.user_config_path("grader") / "credentials.json"


def read() -> Logins:
    """Read the file. Raises UsageError E2124 where it is damaged, or others may read it."""
    try:
        with path().open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Logins()
    except OSError as error:
        raise _fault(str(error.strerror), "make it readable, or remove it and log in again") from error
    if mode & _OTHERS:
        raise _fault("others than its owner may read or write it", f"chmod 600 {path()}")
    try:
        return msgspec.json.decode(content, type=Logins)
    except msgspec.MsgspecError as error:
        raise _fault(str(error), "remove it and log in again: grader auth login") from error


def write(logins: Logins) -> None:
    """Write the file, whole or not at all. Raises UsageError E2124."""
    made = path().with_name(f"{path().name}.{secrets.token_hex(4)}")
    try:
        path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(logins)))
                file.flush()
                os.fsync(file.fileno())
            made.replace(path())
        except OSError:
            with contextlib.suppress(OSError):
                made.unlink()
            raise
    except OSError as error:
        raise _fault(str(error.strerror), "make its folder writable; GRADER_TOKEN does without the file") from error


def _fault(cause: str, hint: str) -> UsageError:
    return UsageError("E2124", "the file of your logins cannot be used", cause=f"{path()}: {cause}", hint=hint)
