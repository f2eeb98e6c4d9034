"""Who asks: login by password, which only gives a token; tokens; login by device code for the command line."""

import datetime as dt
import os

from anyio import CapacityLimiter, to_thread
from fastapi import Response

from grader.errors import LimitReached, LoginNeeded, NotAllowed, NotFound
from grader.server import access, shapes
from grader.server.access import SCOPES, Caller
from grader.server.service import On, Service, Who
from grader.store.identity import Account, Token

routes = access.router("accounts")

_DAY_SECONDS = 86400.0
_MOST_WAITING = 50
_hashing = CapacityLimiter(os.cpu_count() or 1)
"""Checking a password takes 64 MiB and a whole core on purpose; other requests must not wait behind that."""


@routes.post("/v1/login")
async def log_in(sent: shapes.Login, on: On) -> shapes.Issued:
    """Exchange a password for a token that may do all that the account's role allows."""
    on.logins.take(f"{sent.organisation}/{sent.name}", "logins")
    if _hashing.statistics().tasks_waiting >= _MOST_WAITING:
        raise LimitReached("E6106", "too many logins at the moment", hint="wait a little, then try again")
    return await to_thread.run_sync(_log_in, sent, on, limiter=_hashing)


def _log_in(sent: shapes.Login, on: Service) -> shapes.Issued:
    account = on.identity.check_password(sent.organisation, sent.name, sent.password)
    if account is None:
        raise LoginNeeded(
            "E6103",
            "organisation, name or password is wrong",
            cause="which of them, nobody is told",
            hint="an operator sets a new password with `grader user password`",
        )
    return log_in_as(on, account, sent.label)


def log_in_as(on: Service, account: Account, label: str) -> shapes.Issued:
    """Issue a token that may do all that the account's role allows."""
    seconds = on.settings.token_days * _DAY_SECONDS
    token, known = on.identity.issue_token(
        account.id, label=label, scopes=SCOPES[account.role], seconds=seconds, by=account.id
    )
    return _issued(token, known)


@routes.get("/v1/account")
def show_account(who: Who) -> shapes.Account:
    """Show who is logged in, and what this token may do."""
    account = who.access.account
    return shapes.Account(
        id=account.id,
        organisation=account.organisation,
        name=account.name,
        role=account.role,
        public_name=account.public_name,
        scopes=sorted(who.scopes),
        token=who.access.token.id,
        expires_at=who.access.token.expires_at,
    )


@routes.put("/v1/account/public-name", status_code=204)
def set_public_name(wanted: shapes.PublicName, on: On, who: Who) -> Response:
    """Show a name on leaderboards, or none."""
    on.identity.set_public_name(who.account, wanted.public_name, by=who.account)
    return Response(status_code=204)


@routes.get("/v1/tokens")
def list_tokens(on: On, who: Who) -> shapes.TokenList:
    """List your tokens, the newest first."""
    return shapes.TokenList(tokens=[_known(each) for each in on.identity.tokens(who.account)])


@routes.post("/v1/tokens", status_code=201)
def issue_token(wanted: shapes.NewToken, on: On, who: Who) -> shapes.Issued:
    """Issue a token that can do no more, and lasts no longer, than the one that asks for it."""
    scopes = frozenset[str](wanted.scopes)
    _check_scopes(scopes, who)
    days = on.settings.token_days if wanted.days is None else wanted.days
    seconds = days * _DAY_SECONDS
    if who.access.token.expires_at is not None:
        seconds = min(seconds, (who.access.token.expires_at - dt.datetime.now(dt.UTC)).total_seconds())
    token, known = on.identity.issue_token(
        who.account, label=wanted.label, scopes=scopes, seconds=seconds, by=who.account
    )
    return _issued(token, known)


@routes.delete("/v1/tokens/{token}", status_code=204)
def revoke_token(token: str, on: On, who: Who) -> Response:
    """Revoke one of your tokens, by its id."""
    if not on.identity.revoke_token(token, who.account, by=who.account):
        raise NotFound("E5203", f"you have no token {token!r} that still stands", hint="GET /v1/tokens lists yours")
    return Response(status_code=204)


@routes.post("/v1/devices", status_code=201)
def start_device(wanted: shapes.Device, on: On) -> shapes.Started:
    """Begin a login by device code: the person approves the user code where they are logged in."""
    on.devices.take("", "logins by device code")
    return shapes.Started.model_validate(on.identity.start_device(label=wanted.label, scopes=frozenset(wanted.scopes)))


@routes.post("/v1/devices/poll")
def poll_device(sent: shapes.PollDevice, on: On) -> shapes.Polled:
    """Tell how a login stands; the token is told once."""
    seconds = on.settings.token_days * _DAY_SECONDS
    return shapes.Polled.model_validate(on.identity.poll_device(sent.device_code, seconds=seconds))


@routes.get("/v1/devices/{user_code}")
def show_device(user_code: str, on: On) -> shapes.Asked:
    """Show what a login by device code asks for."""
    asked = on.identity.asked(user_code)
    if asked is None:
        raise _unknown(user_code)
    return shapes.Asked(user_code=asked.user_code, label=asked.label, scopes=sorted(asked.scopes))


@routes.post("/v1/devices/{user_code}", status_code=204)
def answer_device(user_code: str, answer: shapes.Answer, on: On, who: Who) -> Response:
    """Approve a login as yourself, or deny it."""
    asked = on.identity.asked(user_code)
    if asked is None:
        raise _unknown(user_code)
    if answer.approve:
        _check_scopes(asked.scopes, who)
    if not on.identity.answer_device(user_code, who.account, approve=answer.approve):
        raise _unknown(user_code)
    return Response(status_code=204)


def _check_scopes(wanted: frozenset[str], who: Caller) -> None:
    if more := wanted - who.scopes:
        raise NotAllowed(
            "E6104",
            "a token cannot give more than it has",
            cause=f"yours lacks {', '.join(sorted(more))}",
            hint="ask for less, or log in with an account that may",
        )


def _unknown(user_code: str) -> NotFound:
    return NotFound(
        "E5204",
        f"no login waits with the code {user_code!r}",
        cause="it is mistyped, answered or expired",
        hint="grader auth login shows a new one",
    )


def _known(token: Token) -> shapes.Token:
    return shapes.Token(
        id=token.id,
        label=token.label,
        scopes=sorted(token.scopes),
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
    )


def _issued(token: str, known: Token) -> shapes.Issued:
    return shapes.Issued(**_known(known).model_dump(), token=token)
