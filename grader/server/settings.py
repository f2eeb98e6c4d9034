"""The settings of a server, each read once, from the environment: `GRADER_DATABASE_URL` sets `database_url`.

Those that hold a secret are better kept in a file: `GRADER_DATABASE_URL_FILE` names it.
"""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from grader.errors import UsageError

SECRETS = ("database_url", "broker_url", "oidc_client_secret")
_SHORTEST_SECRET = 16
_DEFAULTS = {
    "admin",
    "change-me",
    "changeme",
    "default",
    "example",
    "grader",
    "password",
    "postgres",
    "redis",
    "secret",
}


class Settings(BaseSettings):
    """What a server must know."""

    model_config = SettingsConfigDict(env_prefix="GRADER_", env_ignore_empty=True, extra="ignore", frozen=True)

    database_url: SecretStr = SecretStr("")
    """`postgresql://USER:PASSWORD@HOST/DATABASE`; embedded, the SQLite file in GRADER_HOME."""
    broker_url: SecretStr = SecretStr("")
    """`redis://:PASSWORD@HOST/0`, through which workers hear of submissions."""
    embedded: bool = False
    """Judge in this process tree, without a broker."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = os.cpu_count() or 1
    """Embedded: how many submissions are judged at once."""
    threads: Annotated[int, Field(ge=1, le=200)] = 20
    """How many requests may wait for the database at once."""
    submissions_per_minute: Annotated[float, Field(gt=0)] = 20.0
    """How often one account may submit; a third of them at once."""
    in_flight: Annotated[int, Field(ge=1)] = 5
    """How many submissions of one learner may wait or be judged at a time."""
    upload_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long the body of one request may take to arrive."""
    token_days: Annotated[float, Field(gt=0)] = 90.0
    """How long a token is good for unless a shorter time is asked for."""
    closed: str = ""
    """Exercises that take no submissions, separated by commas."""
    without_gpu: Literal["wait", "refuse"] = "wait"
    """What becomes of a submission for a GPU while no worker offers one; embedded, where none can, it is refused."""
    public_url: str = ""
    """Under which address clients reach this server, for example `https://grader.example.org`; OpenID needs it."""
    oidc_issuer: str = ""
    """The OpenID provider where people may log in, exactly as it calls itself."""
    oidc_client_id: str = ""
    """As what this server is known there; it sends people back to `/v1/oidc/callback`."""
    oidc_client_secret: SecretStr = SecretStr("")
    """By what the provider knows this server."""
    oidc_organisation: str = "main"
    """To which organisation those belong who log in there for the first time."""
    canary: str = ""
    """The exercise whose starter is judged now and then: ready means that this worked lately."""
    canary_seconds: Annotated[float, Field(ge=1)] = 300.0
    """How often; ready lasts for three times as long."""

    def is_closed(self, exercise: str) -> bool:
        """Tell whether an exercise takes no submissions."""
        return exercise in {name.strip() for name in self.closed.split(",")}


def read(*, embedded: bool = False, **given: object) -> Settings:
    """Return the settings that the environment holds; `given` goes first.

    Raises:
        UsageError: E1201 one is missing, wrong or cannot be read; E1202 a password is one that everybody knows.

    """
    values = {name: value for name, value in given.items() if value is not None} | {"embedded": embedded}
    for name in SECRETS:
        variable = f"GRADER_{name.upper()}_FILE"
        if name not in values and (path := os.environ.get(variable)):
            values[name] = _content(path, variable)
    try:
        settings = Settings(**values)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _wrong(f"GRADER_{str(first['loc'][0]).upper()}", first["msg"]) from None  # it may hold a secret
    if not embedded:
        _check_secret("GRADER_DATABASE_URL", settings.database_url.get_secret_value())
        _check_secret("GRADER_BROKER_URL", settings.broker_url.get_secret_value())
    if settings.oidc_issuer:
        _check_oidc(settings)
    return settings


def _check_oidc(settings: Settings) -> None:
    for name in ("public_url", "oidc_issuer"):
        parts = urlsplit(getattr(settings, name))
        if parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1"}:
            raise _wrong(f"GRADER_{name.upper()}", "with OpenID it must be an address that begins with https://")
    if not settings.oidc_client_id:
        raise _wrong("GRADER_OIDC_CLIENT_ID", "it is not set")
    if len(settings.oidc_client_secret.get_secret_value()) < _SHORTEST_SECRET:
        raise _wrong("GRADER_OIDC_CLIENT_SECRET", f"it has fewer than {_SHORTEST_SECRET} characters")


def _content(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise _wrong(variable, f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _check_secret(variable: str, url: str) -> None:
    """Refuse an address without a password, unless it leads to a socket on this machine, or with a known one."""
    if not url:
        raise _wrong(variable, "it is not set; `grader serve --embedded` does without")
    try:
        parts = urlsplit(url)
        local = "sqlite" in parts.scheme or "unix" in parts.scheme or "socket" in parts.scheme or not parts.hostname
        password = unquote(parts.password or "")
    except ValueError:
        raise _wrong(variable, "it is not an address") from None
    if local:
        return
    if not password or password.lower() in _DEFAULTS or password == parts.username:
        raise UsageError(
            "E1202",
            f"the password in {variable} is no secret",
            cause="there is none, or it is one that everybody tries first",
            hint=f"generate one, and put the address into a file that {variable}_FILE names",
        )


def _wrong(variable: str, cause: str) -> UsageError:
    return UsageError(
        "E1201", f"the setting {variable} is missing or wrong", cause=cause, hint="see the page on operating a server"
    )
