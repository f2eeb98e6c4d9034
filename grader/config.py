"""Every setting of the command line, read once: flag > environment > folder's file > user's file.

    home     GRADER_HOME      where submissions and reports are kept (a folder)
    learner  GRADER_LEARNER   whose attempts these are (a name; the account's name unless said)
    engine   GRADER_ENGINE    what isolates submissions: auto, docker, bubblewrap or local
    isolated GRADER_ISOLATED  `yes`: refuse an engine that does not isolate, as a server does
    isolation GRADER_ISOLATION `fork`: a sandbox may be a fork of a process that has the libraries loaded, which is
                              quick; `container`, the default: each is started anew
    standbys GRADER_STANDBYS  how many sandboxes each process that judges again and again may keep started ahead (3)
    server   GRADER_SERVER    address of the server that judges; `none`: this machine does, whatever follows here

The folder's file is `.grader.toml` in the current folder or the nearest one above it; the user's is
`config.toml` in the platform's configuration folder. Both hold the names of the left column.
Where none names a server, the one of the last `grader auth login` counts.
`GRADER_EXERCISES` (further folders of exercises) is read by `grader.exercise`, `GRADER_TOKEN` by `grader.cli.auth`.
"""

import contextlib
import getpass
import os
import re
import secrets
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from grader import logins
from grader.engine import NAMES
from grader.errors import OurFault, UsageError
from grader.exercise import Isolation

SETTINGS = {
    "home": "GRADER_HOME",
    "learner": "GRADER_LEARNER",
    "engine": "GRADER_ENGINE",
    "isolated": "GRADER_ISOLATED",
    "isolation": "GRADER_ISOLATION",
    "standbys": "GRADER_STANDBYS",
    "server": "GRADER_SERVER",
}
MAX_LEARNER = 100
MOST_STANDBYS = 64
NO_SERVER = "none"
FOLDER_FILE = ".grader.toml"
_SECRET_BYTES = 32
_MAX_PORT = 65535
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^/?#@:\s\[\]]+|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?(?P<path>(/[\w.~-]+)*)/*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Config:
    """The settings in force."""

    home: Path
    learner: str
    engine: str = ""
    """Empty where nothing says: `auto` for submissions, `local` for an author's own files."""
    isolated: bool = False
    isolation: Isolation = "container"
    standbys: int = 3
    """One with PyTorch takes 250 MB, one with NumPy 50."""

    @property
    def database(self) -> Path:
        """The SQLite file that holds submissions, judgings and reports."""
        return self.home / "grader.sqlite3"

    def secret(self) -> bytes:
        """Return the key of all random inputs judged here, made at first use; without it a seed tells nothing."""
        path = self.home / "secret"
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = self.home / f"secret.{os.getpid()}.{secrets.token_hex(4)}"
            if not path.exists():
                descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(_SECRET_BYTES))
                with contextlib.suppress(FileExistsError):
                    os.link(made, path)  # whole or not at all, and only one of two processes
                made.unlink()
            return path.read_bytes()
        except OSError as error:
            raise OurFault(
                "E3101",
                "the key of the random inputs cannot be kept",
                cause=f"{path}: {error.strerror}",
                hint="make the folder writable, or set GRADER_HOME to one that is",
            ) from error


@dataclass(frozen=True)
class Server:
    """The server in force."""

    url: str
    """Without a slash at its end."""
    from_folder: bool = False
    """A file in or above the current folder names it: whoever wrote that may not be who uses it."""


def read(engine: str = "") -> Config:
    """Read the settings; raises UsageError that names the setting and the place it came from.

    `engine` is what a flag says: it goes before what the environment and the files say.
    """
    found = {name: _find(name, variable) for name, variable in SETTINGS.items() if name != "server"}
    return Config(
        home=_home(*found["home"]),
        learner=_learner(*found["learner"]),
        engine=_engine(*((engine, "--engine") if engine else found["engine"])),
        isolated=_yes(*found["isolated"]),
        isolation=_isolation(*found["isolation"]),
        standbys=_standbys(*found["standbys"]),
    )


def server(flag: str = "") -> Server | None:
    """Return the server that judges; None where this machine does. Raises UsageError E2122, E2124."""
    named, origin = (flag, "--server") if flag else _find("server", SETTINGS["server"])
    url = address(named, origin) if named else logins.read().default
    return Server(url, from_folder=FOLDER_FILE in origin) if url else None


def _find(name: str, variable: str) -> tuple[str, str]:
    """Return a setting's value and where it stands; two empty texts where nothing sets it."""
    if os.environ.get(variable):
        return os.environ[variable], f"the environment's {variable}"
    for path in _files():
        values = _load(path)
        if name in values:
            return values[name], f"{path}: {name}"
    return "", ""


def _files() -> Iterator[Path]:
    here = Path.cwd()
    near = [folder / FOLDER_FILE for folder in (here, *here.parents)]
    yield from [path for path in near if path.is_file()][:1]
    user = platformdirs.user_config_path("grader") / "config.toml"
    if user.is_file():
        yield user


def _load(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            "E2110",
            "a settings file cannot be read",
            cause=f"{path}: {error}",
            hint="mend the file, or remove it",
        ) from error
    for name, value in values.items():
        if name not in SETTINGS or not isinstance(value, str):
            raise UsageError(
                "E2110",
                "a settings file cannot be read",
                cause=f"{path}: `{name}` is not a setting with a text",
                hint=f"the settings are {' and '.join(SETTINGS)}, each a text in quotes",
            )
    return values


def _home(value: str, origin: str) -> Path:
    home = Path(value).expanduser() if value else platformdirs.user_data_path("grader")
    if "\0" in str(home) or (home.exists() and not home.is_dir()):
        raise UsageError(
            "E2111",
            "home is not a folder",
            cause=f"{origin or 'the default'} says {str(home)!r}",
            hint="set GRADER_HOME to a folder, which is made if it is missing",
        )
    return home.absolute()


def _engine(value: str, origin: str) -> str:
    if value and value not in NAMES:
        hint = f"choose one of {', '.join(NAMES)}"
        raise UsageError("E2113", f"there is no engine called {value!r}", cause=origin, hint=hint)
    return value


def address(text: str, origin: str = "") -> str:
    """Return a server's address in its one spelling, nothing for `none`. Raises UsageError E2122."""
    if text == NO_SERVER:
        return ""
    found = _ADDRESS.fullmatch(text if "://" in text else f"https://{text}")
    if found is None or int((found["port"] or ":0")[1:]) > _MAX_PORT:
        raise UsageError(
            "E2122",
            f"{text!r} is not the address of a server",
            cause=origin,
            hint="write https://HOST, with :PORT and a path where it has them; `none` judges on this machine",
        )
    return f"{found['scheme']}://{found['host']}".lower() + (found["port"] or "") + found["path"]


def _yes(value: str, origin: str) -> bool:
    if value not in ("", "yes", "no"):
        hint = "set GRADER_ISOLATED to yes or no"
        raise UsageError("E2116", f"isolated is yes or no, not {value!r}", cause=origin, hint=hint)
    return value == "yes"


def _isolation(value: str, origin: str) -> Isolation:
    if value not in ("", "container", "fork"):
        hint = "set GRADER_ISOLATION to container or fork"
        raise UsageError("E2127", f"isolation is container or fork, not {value!r}", cause=origin, hint=hint)
    return "fork" if value == "fork" else "container"


def _standbys(value: str, origin: str) -> int:
    if not value:
        return Config.standbys
    if not re.fullmatch("[0-9]{1,2}", value) or int(value) > MOST_STANDBYS:
        hint = f"set GRADER_STANDBYS to a whole number from 0 to {MOST_STANDBYS}"
        raise UsageError("E2128", f"standbys is a small number, not {value!r}", cause=origin, hint=hint)
    return int(value)


def _learner(value: str, origin: str) -> str:
    if not value:
        try:
            return getpass.getuser()
        except (OSError, KeyError, ImportError):
            return "learner"
    if len(value) > MAX_LEARNER or not value.isprintable():
        raise UsageError(
            "E2112",
            "learner is not a name",
            cause=f"{origin} is longer than {MAX_LEARNER} characters or holds unprintable ones",
            hint="set GRADER_LEARNER to a short name",
        )
    return value
