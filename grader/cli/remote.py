"""What the commands of students and staff do where a server is configured: it has the exercises, and it judges.

submit      account -> parcels left behind -> parcel on disk -> POST under its key -> dropped -> followed -> report
follow      the stream of events, resumed where it broke off; asked now and then where streams do not come through
"""

import contextlib
import datetime as dt
import math
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from grader import config, exercise, logins
from grader.cli import parcels, terminal
from grader.cli.client import READ_PATIENCE_SECONDS, Client, Pauses, Unreachable
from grader.cli.live import Journey
from grader.config import Config
from grader.errors import GaveUp, GraderError, LoginNeeded, OurFault, UsageError
from grader.exercise import Published
from grader.records import Attempt, Place, Queued
from grader.regrade import Change, Regrading
from grader.report import SCHEMA, Report

SEND_PATIENCE_SECONDS = 60.0
WAIT_PATIENCE_SECONDS = 300.0
"""How long a server may be away while a judging is followed."""
_STREAMS_IN_VAIN = 3
"""So many tries in a row that bring nothing, and the judging is asked for instead."""
_FIRST_POLL_SECONDS = 0.5
_LONGEST_POLL_SECONDS = 3.0
_SILENCE_SECONDS = 40.0
"""A stream of events shows every 15 s that it is still there."""
_SHORTEST_SECONDS = 0.1
_DONE = "done"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; `submission` is empty where the server has not answered yet."""

    def __init__(self, submission: str = "", *, kept: bool = True) -> None:
        """Keep what is needed to go on. `kept`: the submission, or its parcel, is there."""
        super().__init__(submission)
        self.submission = submission
        self.kept = kept


class Account(msgspec.Struct, frozen=True):
    """Who is logged in."""

    organisation: str
    name: str
    role: str
    scopes: list[str]
    public_name: str | None = None
    token: str = ""
    expires_at: dt.datetime | None = None

    @property
    def learner(self) -> str:
        """The account as people say it."""
        return f"{self.organisation}/{self.name}"


class _Regraded(msgspec.Struct):
    regrade: Regrading | None


class _Regrades(msgspec.Struct):
    regrades: list[Regrading]


class _Changes(msgspec.Struct):
    changes: list[Change]
    next: str | None


class _Exercises(msgspec.Struct):
    exercises: list[dict[str, Any]]


class _History(msgspec.Struct):
    submissions: list[Attempt]


class _Board(msgspec.Struct):
    places: list[Place]


class _Judging(msgspec.Struct):
    submission: str
    exercise: str
    status: str
    phases: dict[str, dt.datetime]
    before: int | None = None


class _Submission(msgspec.Struct):
    judgings: list[dict[str, Any]]


class _Phase(msgspec.Struct):
    phase: str
    at: dt.datetime


class _Position(msgspec.Struct):
    before: int


@dataclass(frozen=True)
class Sent:
    """What a learner sends: a file's name and its bytes, as they are."""

    filename: str
    content: bytes
    device: str = ""


def find_token(server: config.Server) -> tuple[str, str]:
    """Return the token for a server and, where that is not its stored login, where it comes from.

    The environment's is for the server that a person has chosen, never for one that a folder's file names.
    """
    token = os.environ.get("GRADER_TOKEN", "").strip()
    if not token:
        login = logins.read().servers.get(server.url)
        return (login.token if login else ""), ""
    if server.from_folder:
        raise UsageError(
            "E2123",
            "GRADER_TOKEN is not sent to a server that a folder's file names",
            cause=f"{config.FOLDER_FILE} here or above says {server.url}",
            hint=f"if you trust it: GRADER_SERVER={server.url}",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        cause = "it holds blanks or characters that none has"
        raise UsageError("E2123", "GRADER_TOKEN is no token", cause=cause, hint="set it anew, or unset it")
    return token, "GRADER_TOKEN"


@contextlib.contextmanager
def connect(server: config.Server) -> Iterator["Remote"]:
    """Give a server where this person is logged in. Raises LoginNeeded E6101 before anything is sent."""
    token, source = find_token(server)
    if not token:
        raise LoginNeeded("E6101", f"you are not logged in to {server.url}", hint=f"grader auth login {server.url}")
    client = Client(server.url, token, terminal.say, token_from=source)
    with contextlib.closing(client), tempfile.TemporaryDirectory(prefix="grader-") as folder:
        yield Remote(client, Path(folder))


class Remote:
    """A server as the commands need it."""

    def __init__(self, client: Client, folder: Path) -> None:
        """`folder` takes what exercises are made of, for as long as the command runs."""
        self.client = client
        self._folder = folder
        self._listed: list[dict[str, Any]] | None = None

    def account(self) -> Account:
        """Return who is logged in."""
        return self.client.get("/v1/account", Account)

    def all(self) -> list[Published]:
        """Return the exercises."""
        return [self._published(each) for each in self._list()]

    def names(self) -> list[str]:
        """Return the names of the exercises."""
        return [str(each.get("name")) for each in self._list()]

    def load(self, name: str) -> Published:
        """Return an exercise with statement, starter and public examples."""
        whole = self.client.get(f"/v1/exercises/{quote(name, safe='')}", dict[str, Any])
        found = self._published(whole)
        found.folder.mkdir(exist_ok=True)
        for file, field in (
            ("statement.md", "statement"),
            ("starter.py", "starter"),
            ("public_tests.py", "public_tests"),
        ):
            (found.folder / file).write_text(str(whole[field]), encoding="utf-8")
        return found

    def _list(self) -> list[dict[str, Any]]:
        if self._listed is None:
            self._listed = self.client.get("/v1/exercises", _Exercises).exercises
        return self._listed

    def _published(self, told: dict[str, Any]) -> Published:
        try:
            name = str(told["name"])
            if not exercise.NAME.fullmatch(name):
                raise self.client.differs(f"an exercise is called {name!r}")
            return exercise.published(told, self._folder / name)
        except (KeyError, msgspec.ValidationError) as error:
            raise self.client.differs(f"an exercise is told without {error}") from error

    def submit(self, name: str, sent: Sent, settings: Config, seconds: float | None) -> Report:
        """Send a file, wait until it is judged, for so many seconds at most, and return its report.

        Raises:
            Interrupted: Ctrl-C.
            GaveUp: E5215 the time is over, or the server was away for too long.
            OurFault: E5214 whether it has arrived is not known; sending it again stores it once.

        """
        until = None if seconds is None else time.monotonic() + seconds
        account = self.account()
        folder = settings.home / "outbox"
        wanted = parcels.content(self.client.url, account.learner, name, sent.filename, sent.content, sent.device)
        mine = None
        for parcel in parcels.orphans(folder, self.client.url, account.learner):
            if mine is None and wanted.same(parcel.content):
                mine = parcel
                continue
            with parcel:
                self._recover(parcel)
        with mine or parcels.add(folder, wanted) as parcel:
            terminal.say(f"{name}: sending {sent.filename} ({_size(len(sent.content))}) to {self.client.url}")
            queued = self._deliver(parcel, until)
        again = ", as it had arrived already" if queued.replayed else ""
        terminal.say(f"{name}: submission {queued.submission} stored, attempt {queued.attempt}{again}")
        if queued.note:
            terminal.say(f"{name}: {queued.note}")
        return self.follow(queued.judging, queued.submission, name, until)

    def _recover(self, parcel: parcels.Parcel) -> None:
        """Send what another process has left behind; what the server refuses is told and let go."""
        held = parcel.content
        when = dt.datetime.fromtimestamp(held.created_at).astimezone().strftime("%Y-%m-%d %H:%M")
        subject = f"{held.filename} for {held.exercise}, sent on {when} without an answer"
        try:
            queued = self._post(parcel, math.inf)
        except (Unreachable, LoginNeeded):
            raise
        except GraderError as error:
            terminal.say(f"{subject}, is refused: {error.what}")
        else:
            terminal.say(f"{subject}, is submission {queued.submission}, attempt {queued.attempt}")
        parcel.drop()

    def _deliver(self, parcel: parcels.Parcel, until: float | None) -> Queued:
        left = math.inf if until is None else max(_SHORTEST_SECONDS, until - time.monotonic())
        self.client.unsure = parcel.orphan
        try:
            queued = self._post(parcel, left)
        except BaseException as error:
            sure = not self.client.unsure
            if sure or not isinstance(error, OurFault | LoginNeeded | KeyboardInterrupt):
                parcel.drop()
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(kept=not sure) from None
            if sure or not isinstance(error, OurFault):
                raise
            raise OurFault(
                "E5214",
                "whether the submission has arrived is not known",
                cause=f"{error.what}{f': {error.cause}' if error.cause else ''}",
                hint="run the same command again: it goes under the same key and is stored once",
            ) from error
        parcel.drop()
        return queued

    def _post(self, parcel: parcels.Parcel, left: float) -> Queued:
        held = parcel.content
        body: dict[str, Any] = {"exercise": held.exercise, "filename": held.filename, "source_base64": held.source}
        if held.device:
            body["device"] = held.device
        return self.client.send(
            "POST", "/v1/submissions", Queued, body, key=held.key, patience=SEND_PATIENCE_SECONDS, left=left
        )

    def rejudge(self, which: str, reason: str, seconds: float | None) -> Report:
        """Have a submission judged again, without its policy where a reason is given; see `submit`."""
        until = None if seconds is None else time.monotonic() + seconds
        path = f"/v1/submissions/{quote(which, safe='')}"
        if reason:
            queued = self.client.send("POST", f"{path}/overruling", Queued, {"reason": reason}, patience=0)
        else:
            queued = self.client.send("POST", f"{path}/judgings", Queued, patience=0)
        terminal.say(f"submission {queued.submission} judged again as {queued.judging}")
        return self.follow(queued.judging, queued.submission, queued.submission, until)

    def cancel(self, which: str) -> str:
        """Withdraw a submission, or that of a judging, before its judging begins; returns its id."""
        if which.startswith("j_"):
            which = self.client.get(f"/v1/judgings/{quote(which, safe='')}", _Judging).submission
        self.client.send("POST", f"/v1/submissions/{quote(which, safe='')}/cancellation", _Submission)
        return which

    def watch(self, which: str, seconds: float | None) -> Report:
        """Wait for a judging, or for the latest of a submission; see `submit`."""
        until = None if seconds is None else time.monotonic() + seconds
        judging, path = which, quote(which, safe="")
        if not which.startswith("j_"):
            found = self.client.get(f"/v1/submissions/{path}", _Submission)
            judging = str(found.judgings[-1]["judging"])
        progress = self.client.get(f"/v1/judgings/{quote(judging, safe='')}", _Judging)
        return self.follow(judging, progress.submission, progress.exercise, until)

    def report(self, which: str, *, patience: float = READ_PATIENCE_SECONDS) -> Report:
        """Return the report of a judging or submission, or of the latest. Raises Pending E5103."""
        path = "/v1/report"
        if which:
            path = f"/v1/{'judgings' if which.startswith('j_') else 'submissions'}/{quote(which, safe='')}/report"
        report = self.client.get(path, Report, patience=patience)
        if report.schema != SCHEMA:
            raise self.client.differs(f"its reports are {report.schema}")
        return report

    def begin_regrade(self, name: str, *, never_lower: bool) -> Regrading | None:
        """Have submissions of one's organisation judged again; the regrade is new, or was under way."""
        body = {"never_lower": never_lower}
        return self.client.send("POST", f"/v1/exercises/{quote(name, safe='')}/regrades", _Regraded, body).regrade

    def regrades(self, name: str) -> list[Regrading]:
        """Return one's organisation's regrades of an exercise, the newest first."""
        return self.client.get(f"/v1/exercises/{quote(name, safe='')}/regrades", _Regrades).regrades

    def changes(self, regrade: Regrading) -> list[Change]:
        """Return what a regrade has judged otherwise than before."""
        path = f"/v1/exercises/{quote(regrade.exercise, safe='')}/regrades/{regrade.regrade}/changes"
        found, after = [], ""
        while True:
            page = self.client.get(f"{path}?limit=100&after={after}", _Changes)
            found += page.changes
            if page.next is None:
                return found
            after = page.next

    def history(self, name: str, limit: int) -> list[Attempt]:
        """Return one's own submissions for an exercise, the latest first."""
        path = f"/v1/exercises/{quote(name, safe='')}/history?limit={min(limit, 100)}"
        return self.client.get(path, _History).submissions

    def board(self, name: str, limit: int) -> list[Place]:
        """Return an exercise's leaderboard."""
        path = f"/v1/exercises/{quote(name, safe='')}/leaderboard?limit={min(limit, 100)}"
        return self.client.get(path, _Board).places

    def show_as(self, name: str | None) -> None:
        """Show a name on leaderboards, or none."""
        self.client.send("PUT", "/v1/account/public-name", type(None), {"public_name": name})

    def unanswered(self, settings: Config) -> int:
        """Return how many submissions wait for the next `submit`, whoever's they are."""
        return len(list((settings.home / "outbox").glob("*.json")))

    def follow(self, judging: str, submission: str, subject: str, until: float | None) -> Report:
        """Tell how far a judging is until it is done; return its report."""
        try:
            with Journey(subject) as journey:
                _Follower(self.client, judging, journey, until).follow()
            return self.report(judging, patience=WAIT_PATIENCE_SECONDS)
        except KeyboardInterrupt:
            raise Interrupted(submission) from None
        except (Unreachable, TimeoutError) as error:
            raise GaveUp(
                "E5215",
                f"submission {submission} has no verdict yet",
                cause=f"{error.what}: {error.cause}" if isinstance(error, Unreachable) else "the time is over",
                hint=f"it is judged all the same: grader watch {submission}",
            ) from error
        except GraderError as error:
            error.hint += f"; then: grader watch {submission}"
            raise


class _Follower:
    """Follows one judging by a stream that is resumed, or by asking."""

    def __init__(self, client: Client, judging: str, journey: Journey, until: float | None) -> None:
        """Begin at the beginning."""
        self._client = client
        self._path = f"/v1/judgings/{quote(judging, safe='')}"
        self._journey = journey
        self._until = until
        self._last = ""
        self._heard = 0

    def follow(self) -> None:
        """Return when it is done. Raises TimeoutError, Unreachable E5210 and what the server refuses."""
        in_vain = 0
        pauses = Pauses(WAIT_PATIENCE_SECONDS)
        while in_vain < _STREAMS_IN_VAIN:
            heard, lost = self._heard, Unreachable("E5210", "the stream of events ended")
            try:
                if self._stream():
                    return
            except Unreachable as error:
                lost = error
            if self._heard != heard:
                in_vain, pauses = 0, Pauses(WAIT_PATIENCE_SECONDS)
            in_vain += 1
            self._left()
            pauses.wait(lost, terminal.say)
        self._poll()

    def _stream(self) -> bool:
        """Follow a stream until it ends; tell whether the judging is done."""
        for event in self._client.events(f"{self._path}/events", self._last, min(_SILENCE_SECONDS, self._left())):
            try:
                if event.name == _DONE:
                    return True
                if event.name == "phase":
                    phase = msgspec.json.decode(event.data, type=_Phase)
                    self._journey.phase(phase.phase, phase.at)
                elif event.name == "position":
                    self._journey.position(msgspec.json.decode(event.data, type=_Position).before)
            except msgspec.MsgspecError as error:
                raise self._client.differs(f"an event {event.name!r}: {error}") from error
            self._heard += bool(event.name)
            self._last = event.id or self._last
            self._left()
        return False

    def _poll(self) -> None:
        pause = _FIRST_POLL_SECONDS
        while True:
            found = self._client.get(self._path, _Judging, patience=WAIT_PATIENCE_SECONDS, left=self._left())
            for name, at in sorted(found.phases.items(), key=lambda item: item[1]):
                self._journey.phase(name, at)
            if found.status == _DONE:
                return
            if found.before is not None:
                self._journey.position(found.before)
            time.sleep(min(pause, self._left()))
            pause = min(_LONGEST_POLL_SECONDS, 1.5 * pause)

    def _left(self) -> float:
        """Return how many seconds are left. Raises TimeoutError where none are."""
        left = math.inf if self._until is None else self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _size(number: int) -> str:
    return f"{number} bytes" if number < 10_000 else f"{number / 1024:,.0f} KiB"  # noqa: PLR2004  a handy number
