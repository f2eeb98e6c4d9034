"""One server, over HTTP: every way in which it can fail to answer ends in an error with a remedy.

A request that may be repeated is: after a broken connection, 502, 503, 504 and a short 429, with pauses that grow and
differ by chance, until its patience is over. Everything but a login may be repeated: reading changes nothing, and what
is sent goes under an idempotency key.
"""

import math
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
import msgspec

from grader import __version__
from grader.errors import GraderError, LimitReached, LoginNeeded, NotAllowed, NotFound, OurFault, Pending, UsageError
from grader.formats import safe

READ_PATIENCE_SECONDS = 6.0
VERSION_HEADER = "Grader-Version"
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 8.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0
_AGAIN = {502, 503, 504}
_TOO_MANY = 429
_OF_STATUS = {401: LoginNeeded, 403: NotAllowed, 404: NotFound}
_OF_CODE = {"E5103": Pending} | dict.fromkeys(("E6201", "E6202", "E6203", "E6205"), LimitReached)
_OUTDATED = {"E5201", "E5202"}
"""No such address, no such method: this command line asks only for what its own version's server has."""

T = TypeVar("T")


class Unreachable(OurFault):
    """No answer came, however often it was tried."""


class Problem(msgspec.Struct, frozen=True):
    """An error as a server tells it (RFC 9457)."""

    status: int
    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Event:
    """One event of a stream; its data are JSON."""

    name: str
    id: str
    data: str


class Client:
    """Sends requests to one server; `say` tells that one is tried again."""

    def __init__(self, url: str, token: str, say: Callable[[str], None], *, token_from: str = "") -> None:
        """Connect at the first request."""
        self.url = url
        self.version = ""
        """The server's, once it has answered."""
        self.unsure = False
        """A request may have been carried out without an answer, since this was last set to False."""
        self._say = say
        self._token_from = token_from
        self._token = token
        headers = {VERSION_HEADER: __version__, "User-Agent": f"grader/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._http = httpx2.Client(
                headers=headers,
                timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http://") else True,
            )
        except (OSError, ValueError) as error:  # SSL_CERT_FILE, a proxy's address
            raise UsageError(
                "E5211",
                "a connection cannot be prepared",
                cause=str(error),
                hint="mend SSL_CERT_FILE, SSL_CERT_DIR, HTTPS_PROXY or what else the environment says",
            ) from error

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def get(
        self,
        path: str,
        kind: type[T],
        *,
        patience: float = READ_PATIENCE_SECONDS,
        left: float = math.inf,
    ) -> T:
        """Return what is at a path; see `send`."""
        return self.send("GET", path, kind, patience=patience, left=left)

    def send(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: object = None,
        *,
        key: str = "",
        patience: float = READ_PATIENCE_SECONDS,
        left: float = math.inf,
    ) -> T:
        """Send a request until it is answered: no further try after `patience` seconds, none longer than `left`.

        Raises what `refusal` returns, and Unreachable E5210.
        """
        headers = {"Idempotency-Key": key} if key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = {
            "content": None if body is None else msgspec.json.encode(body),
            "headers": headers,
            "timeout": httpx2.Timeout(min(_ANSWER_SECONDS, left), connect=min(_CONNECT_SECONDS, left)),
        }
        pauses = Pauses(min(patience, left))
        while True:
            try:
                response = self._once(method, path, request)
            except Unreachable as error:
                pauses.wait(error, self._say)
                continue
            if not response.is_error:
                return self._content(response, kind)
            refusal = self.refusal(response)
            if response.status_code in _AGAIN:
                pauses.wait(refusal, self._say)
            elif isinstance(refusal, LimitReached) and refusal.code == "E6106":
                pauses.wait(refusal, self._say, refusal.seconds)
            else:
                raise refusal

    def _once(self, method: str, path: str, request: dict[str, Any]) -> httpx2.Response:
        try:
            response = self._http.request(method, f"{self.url}{path}", **request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self.unreachable(error) from error
        except httpx2.RequestError as error:
            self.unsure = True
            raise self.unreachable(error) from error
        except KeyboardInterrupt:
            self.unsure = True
            raise
        self.unsure |= response.status_code >= 500  # noqa: PLR2004
        self.check(response)
        return response

    def events(self, path: str, last: str, silence: float) -> Iterator[Event]:
        """Yield the events of a stream after the event `last`, and nameless ones as signs of life.

        The stream may end at any time. Raises Unreachable E5210, also after `silence` seconds without a sign of life,
        and what `refusal` returns.
        """
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        timeout = httpx2.Timeout(max(0.05, silence), connect=_CONNECT_SECONDS)
        try:
            with self._http.stream("GET", f"{self.url}{path}", headers=headers, timeout=timeout) as response:
                self.check(response)
                if response.is_error:
                    response.read()
                    raise self.refusal(response)
                yield from _parse(response.iter_lines())
        except httpx2.RequestError as error:
            raise self.unreachable(error) from error

    def _content(self, response: httpx2.Response, kind: type[T]) -> T:
        if kind is type(None):
            return None
        try:
            return msgspec.json.decode(response.content, type=kind, strict=False)
        except msgspec.MsgspecError as error:
            raise self.differs(f"{response.url.path}: {error}") from error

    def check(self, response: httpx2.Response) -> None:
        """Raise what is wrong where this is no answer of a grader of our major version."""
        theirs = response.headers.get(VERSION_HEADER, "")
        if not theirs:
            status = f"it answered {response.status_code} {response.reason_phrase}"
            if response.status_code in _AGAIN:  # of a proxy in front of it
                raise Unreachable("E5210", f"the server {self.url} does not answer", cause=status, hint=_LATER)
            if moved := response.headers.get("location"):
                status += f", pointing to {moved}"
            raise UsageError(
                "E5212",
                f"{self.url} is not a grader server",
                cause=safe(status),
                hint="look at the address: `grader auth login https://HOST`, or GRADER_SERVER",
            )
        self.version = safe(theirs[:40])
        if _major(theirs) != _major(__version__):
            raise self.differs("their major versions differ")

    def differs(self, cause: str) -> UsageError:
        """Return the error for an answer that this version does not understand."""
        ours, theirs = _numbers(__version__), _numbers(self.version)
        what = f"the server is %s than the command line: grader {self.version}, and {__version__} here"
        hint = f'take its version: pip install "grader=={self.version}"'
        if ours < theirs:
            what %= "newer"
        elif ours > theirs:
            what, hint = what % "older", f"ask whoever runs it to upgrade it, or {hint}"
        else:
            what, hint = "the server's answer is not understood", "report it, and what -v prints"
        return UsageError("E5213", what, cause=safe(cause[:300]), hint=hint)

    def refusal(self, response: httpx2.Response) -> GraderError:
        """Return the error that an answer tells, of the class that its exit code needs."""
        try:
            told = msgspec.json.decode(response.content, type=Problem)
        except msgspec.MsgspecError as error:
            return self.differs(f"{response.url.path}: {response.status_code}: {error}")
        if told.code in _OUTDATED and self.version != __version__:
            return self.differs(f"{response.url.path}: {told.code}: {told.detail}")
        if told.status == _TOO_MANY:
            wait = response.headers.get("Retry-After", "")
            return LimitReached(
                told.code, told.detail, hint=told.hint, seconds=float(wait) if wait.isdecimal() else 1.0
            )
        kind = OurFault if told.status >= 500 else _OF_CODE.get(told.code) or _OF_STATUS.get(told.status, UsageError)  # noqa: PLR2004
        hint = told.hint
        if told.status == 401 and self._token and self._token_from:  # noqa: PLR2004
            hint = f"the token comes from {self._token_from}: set another, or unset it and run `grader auth login`"
        return kind(told.code, told.detail, hint=hint)

    def unreachable(self, error: BaseException) -> OurFault:
        """Return the error for a connection that failed; it is Unreachable where another try may help."""
        cause = _root(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return OurFault(
                "E5211",
                f"{self.url} does not prove that it is what it says",
                cause=cause.verify_message,
                hint="if its authority is your own, name its file in SSL_CERT_FILE; if not, do not log in there",
            )
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return OurFault(
                "E5211",
                f"no secure connection to {self.url}",
                cause=cause.reason.replace("_", " ").lower(),
                hint="a server without TLS has an address that begins with http://",
            )
        return Unreachable(
            "E5210",
            f"the server {self.url} does not answer",
            cause=getattr(cause, "strerror", None) or str(cause) or type(cause).__name__,
            hint=_LATER,
        )


_LATER = "check the address and your network, then try again"


def _parse(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield Event(fields.get("event", ""), fields.get("id", ""), fields["data"])
            fields = {}
        else:
            yield Event("", "", "")


class Pauses:
    """Pauses between tries, which grow and differ by chance, until patience is over."""

    def __init__(self, patience: float) -> None:
        """Begin now."""
        self._until = time.monotonic() + patience
        self._next = _FIRST_PAUSE_SECONDS
        self._told = False

    def wait(self, error: GraderError, say: Callable[[str], None], at_least: float = 0.0) -> None:
        """Wait before the next try; raises the error instead where there is none."""
        pause = max(at_least, random.uniform(self._next / 2, self._next))  # noqa: S311  no secret
        if time.monotonic() + pause > self._until or pause > _LONGEST_RETRY_AFTER_SECONDS:
            raise error
        if not self._told or at_least:
            say(f"{error.what}{f' ({error.cause})' if error.cause else ''}: trying again")
            self._told = True
        self._next = min(_LONGEST_PAUSE_SECONDS, 2 * self._next)
        time.sleep(pause)


def _root(error: BaseException) -> BaseException:
    """Return what the library's error stands for: the system's or TLS's own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError):
            return found
        found = found.__cause__ or found.__context__
    return error


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def _major(version: str) -> list[int]:
    return _numbers(version)[:1]
