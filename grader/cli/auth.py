"""What `auth` does: log in to a server by device code, password or token, out again, and let others in.

No password and no token is ever an argument, which other users of a machine can read, and none is printed or logged.
"""

import getpass
import ipaddress
import socket
import sys
import time
from contextlib import closing, suppress
from typing import Literal
from urllib.parse import quote, urlsplit

import msgspec

from grader import __version__, config, logins
from grader.cli import terminal
from grader.cli.client import Client
from grader.cli.remote import Account, find_token
from grader.errors import GraderError, LoginNeeded, UsageError
from grader.formats import safe

_SLOWER_SECONDS = 5.0
"""What RFC 8628 adds to the pause where a server asks for it."""
_LOGIN_NEEDED = 4


class _Issued(msgspec.Struct):
    token: str


class _Started(msgspec.Struct):
    device_code: str
    user_code: str
    poll_seconds: float


class _Polled(msgspec.Struct):
    status: Literal["pending", "slow_down", "denied", "expired", "approved"]
    token: str = ""


class _Asked(msgspec.Struct):
    user_code: str
    label: str
    scopes: list[str]


def login_by_device(address: str, scopes: list[str]) -> int:
    """Log in by a code that somebody who is logged in approves."""
    server = _server(address)
    with closing(_nobody(server)) as client:
        wanted = {"label": _label()} | ({"scopes": scopes} if scopes else {})
        started = client.send("POST", "/v1/devices", _Started, wanted)
        _answer(
            f"The code of this login is {started.user_code}. Approve it where you are logged in to {server.url}:\n\n"
            f"    grader auth approve {started.user_code}\n"
        )
        sys.stdout.flush()
        terminal.hint("logged in nowhere yet? Ctrl-C, then: grader auth login --password")
        pause = started.poll_seconds
        while True:
            time.sleep(pause)
            polled = client.send("POST", "/v1/devices/poll", _Polled, {"device_code": started.device_code})
            match polled.status:
                case "approved":
                    return _keep(server, polled.token)
                case "slow_down":
                    pause += _SLOWER_SECONDS
                case "denied" | "expired":
                    what = "was denied" if polled.status == "denied" else "was not approved in time"
                    raise LoginNeeded("E5216", f"the login {what}", hint="grader auth login shows a new code")


def login_by_password(address: str, organisation: str, name: str) -> int:
    """Log in to an account of the server itself; the password is asked for, or is a line of standard input."""
    server = _server(address)
    typed = sys.stdin.isatty()
    if typed and terminal.flags.no_input:
        raise UsageError("E2101", "the password is asked for, and --no-input forbids it", hint="pipe it into stdin")
    if not name and not typed:
        raise UsageError("E2101", "whose password it is must be said", hint="grader auth login --password --name ada")
    name = name or input(f"name at {server.url}: ").strip()
    password = getpass.getpass("password: ") if typed else sys.stdin.readline().rstrip("\r\n")
    sent = {"organisation": organisation, "name": name, "password": password, "label": _label()}
    with closing(_nobody(server)) as client:
        return _keep(server, client.send("POST", "/v1/login", _Issued, sent, patience=0).token)


def login_by_token(address: str) -> int:
    """Keep a token that an operator has issued: a line of standard input."""
    server = _server(address)
    token = sys.stdin.readline().strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("E2101", "standard input holds no token", hint="grader auth login --token-stdin < FILE")
    return _keep(server, token)


def _keep(server: config.Server, token: str) -> int:
    with closing(Client(server.url, token, terminal.say)) as client:
        account = client.get("/v1/account", Account)
    logins.write(logins.read().with_login(server.url, logins.Login(token, account.learner)))
    _answer(f"logged in to {server.url} as {account.learner}, {account.role}")
    terminal.say(f"the token is kept in {logins.path()}")
    with suppress(UsageError):
        if find_token(server)[1]:
            terminal.hint("GRADER_TOKEN is set and goes before it: unset GRADER_TOKEN")
    return 0


def logout(address: str) -> int:
    """Forget a login, and have the server revoke its token."""
    server = _server(address)
    login = logins.read().servers.get(server.url)
    if login is None:
        terminal.say(f"you are not logged in to {server.url}")
        return 0
    with closing(Client(server.url, login.token, terminal.say)) as client:
        try:
            token = client.get("/v1/account", Account).token
            client.send("DELETE", f"/v1/tokens/{quote(token, safe='')}", type(None))
        except LoginNeeded:
            terminal.say("the token was not good any more")
        except GraderError as error:
            terminal.say(f"the token is forgotten here and not revoked: {error.what}")
    logins.write(logins.read().without(server.url))
    _answer(f"logged out of {server.url}")
    return 0


def status(address: str, *, json: bool) -> int:
    """Say where one is logged in, as whom, until when; 4 where one is not."""
    server = config.server(address)
    if server is None:
        told: dict[str, object] = {"server": "", "account": ""}
        lines = ["no server is configured: this machine judges", "to use one: grader auth login https://HOST"]
        return _tell(told, lines, json=json, code=0)
    token, source = find_token(server)
    if not token:
        told = {"server": server.url, "account": ""}
        lines = [f"{server.url}: not logged in", f"grader auth login {server.url}"]
        return _tell(told, lines, json=json, code=_LOGIN_NEEDED)
    with closing(Client(server.url, token, terminal.say, token_from=source)) as client:
        account = client.get("/v1/account", Account)
        version = client.version
    told = {
        "server": server.url,
        "account": account.learner,
        "role": account.role,
        "scopes": account.scopes,
        "expires_at": account.expires_at,
        "token_from": source or str(logins.path()),
        "server_version": version,
    }
    until = f" until {account.expires_at.astimezone():%Y-%m-%d %H:%M}" if account.expires_at else ""
    lines = [
        f"{server.url}: logged in as {account.learner}, {account.role}",
        f"token from {told['token_from']}, good for {', '.join(account.scopes)}{until}",
        f"grader {version} there, {__version__} here",
    ]
    return _tell(told, lines, json=json, code=0)


def _tell(told: dict[str, object], lines: list[str], *, json: bool, code: int) -> int:
    if json:
        terminal.answer_json({"schema": "grader/login/1", **told})
    else:
        _answer("\n".join(lines))
    return code


def approve(code: str, *, deny: bool, sure: bool) -> int:
    """Let a command line elsewhere log in as oneself, or refuse it."""
    server = _server("")
    token, source = find_token(server)
    with closing(Client(server.url, token, terminal.say, token_from=source)) as client:
        path = f"/v1/devices/{quote(code, safe='')}"
        asked = client.get(path, _Asked)
        who = client.get("/v1/account", Account)
        terminal.say(
            f"{asked.label!r} wants to log in to {server.url} as you, {who.learner}, to {' and '.join(asked.scopes)}"
        )
        if not (deny or sure or _confirmed("Did you start this login yourself? [y/N] ")):
            terminal.say("nothing was approved")
            return 1
        client.send("POST", path, type(None), {"approve": not deny}, patience=0)
    _answer(f"{asked.user_code} is {'denied' if deny else 'approved'}")
    return 0


def _confirmed(question: str) -> bool:
    if terminal.flags.no_input or not sys.stdin.isatty():
        raise UsageError("E2101", "an approval needs a yes", hint="look at what is asked for, then add --yes")
    return input(question).strip().lower() in {"y", "yes"}


def _server(address: str) -> config.Server:
    found = config.server(address)
    if found is None:
        raise no_server()
    return found


def no_server() -> UsageError:
    """Return the error for what only a server can do."""
    return UsageError("E2125", "no server is configured", hint="grader auth login https://HOST, or set GRADER_SERVER")


def _nobody(server: config.Server) -> Client:
    """Return a client without login; warn where whoever listens can read what is sent."""
    host = urlsplit(server.url).hostname or ""
    loopback = host == "localhost"
    with suppress(ValueError):
        loopback = ipaddress.ip_address(host).is_loopback
    if server.url.startswith("http://") and not loopback:
        terminal.say(
            f"warning: {server.url} is not encrypted: whoever is between you and it can read password and token"
        )
    return Client(server.url, "", terminal.say)


def _answer(text: str) -> None:
    """Write to stdout what names a server's words: they must not act on the terminal."""
    terminal.answer(safe(text))


def _label() -> str:
    return f"grader on {socket.gethostname()}"[:100]
