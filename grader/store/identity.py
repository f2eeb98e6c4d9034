"""Who may do what: organisations, accounts, passwords, tokens, logins by device code, and the audit trail.

Tokens and device codes hold 256 random bits and only their SHA-256 is kept, so a copy of the database
lets nobody in. Whatever changes here leaves a line in the audit trail, in the same transaction.
"""

import datetime as dt
import functools
import hashlib
import re
import secrets
from typing import Any, Literal, cast

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import ColumnElement, CursorResult, Select, Update, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grader.errors import NotFound, UsageError
from grader.store import models, writes
from grader.store.ids import new_id
from grader.store.store import Store

Role = Literal["learner", "instructor", "hiring", "operator"]

TOKEN_PREFIX = "grt_"  # noqa: S105  lets a scanner of leaked secrets know one
DEVICE_SECONDS = 600.0
"""How long a person has to approve a login of the command line."""

POLL_SECONDS = 5.0
"""How long the command line is to wait between two questions whether it was approved."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
"""What may be the name of an organisation or an account: a `/` stands between the two."""

_MINUTE = dt.timedelta(minutes=1)
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of user codes (RFC 8628, 6.1): no vowels, so no words, and nothing that looks like a digit."""

_hasher = PasswordHasher()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who may log in; `learner` is the name under which the store keeps their submissions."""

    id: str
    organisation: str
    name: str
    learner: str
    role: Role
    public_name: str | None
    created_at: dt.datetime
    disabled_at: dt.datetime | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a token; not the token."""

    id: str
    account: str
    label: str
    scopes: frozenset[str]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request it is, and with which token."""

    account: Account
    token: Token


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A login by device code that begins: the code is the program's secret, the user code is for the person."""

    device_code: str
    user_code: str
    expires_at: dt.datetime
    poll_seconds: float


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked to approve."""

    user_code: str
    label: str
    scopes: frozenset[str]


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """How a login by device code stands; `token` where it is approved, once."""

    status: Literal["pending", "slow_down", "denied", "expired", "approved"]
    token: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit trail; `account` is who did it, and `name` as what, None where nobody was logged in."""

    id: str
    at: dt.datetime
    account: str | None
    name: str | None
    action: str
    subject: str
    details: dict[str, Any]


class Identity:
    """Accounts and tokens of a store; `by` is always the id of the account that acts, None for the system itself."""

    def __init__(self, store: Store) -> None:
        """Share the store's database."""
        self._store = store

    def add_organisation(self, name: str, *, by: str | None = None) -> str:
        """Add an organisation and return its id.

        Raises:
            UsageError: E2118 the name is taken.

        """
        organisation = new_id("o")
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            writes.add_new(session, models.Organisation, id=organisation, name=name, created_at=now)
            if session.get(models.Organisation, organisation) is None:
                raise _taken(f"an organisation {name!r}")
            _record(session, now, by, "organisation.add", name)
        return organisation

    def add_account(
        self,
        organisation: str,
        name: str,
        *,
        role: Role,
        oidc: tuple[str, str] | None = None,
        public_name: str | None = None,
        by: str | None = None,
    ) -> Account:
        """Add an account to the organisation of that name; `oidc` is issuer and subject.

        Its learner is called `organisation/name`. It has no password yet.

        Raises:
            NotFound: E5106 no such organisation.
            UsageError: E2118 the name, the public name or the OIDC subject is taken.

        """
        issuer, subject = oidc or (None, None)
        account = new_id("a")
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            owner = session.scalar(select(models.Organisation.id).where(models.Organisation.name == organisation))
            if owner is None:
                raise _unknown(f"organisation {organisation!r}")
            writes.add_new(
                session,
                models.Account,
                id=account,
                organisation_id=owner,
                learner_id=writes.learner(session, f"{organisation}/{name}"),
                name=name,
                role=role,
                oidc_issuer=issuer,
                oidc_subject=subject,
                public_name=public_name,
                created_at=now,
            )
            found = _account(session, models.Account.id == account)
            if found is None:
                raise _taken(f"an account {name!r}, its public name or its OIDC subject, in {organisation!r}")
            _record(session, now, by, "account.add", account, name=f"{organisation}/{name}", role=role)
        return found

    def account(self, account: str) -> Account | None:
        """Return the account of an id."""
        return self._find(models.Account.id == account)

    def by_name(self, organisation: str, name: str) -> Account | None:
        """Return the account of a name, disabled or not."""
        return self._find(models.Organisation.name == organisation, models.Account.name == name)

    def by_oidc(self, issuer: str, subject: str) -> Account | None:
        """Return the account of an OIDC subject, disabled or not."""
        return self._find(models.Account.oidc_issuer == issuer, models.Account.oidc_subject == subject)

    def by_learner(self, learner: str) -> Account | None:
        """Return the account of a learner's name, disabled or not."""
        return self._find(models.Learner.name == learner)

    def accounts(self, organisation: str, limit: int, *, after: str = "") -> list[Account]:
        """Return an organisation's accounts by name; the next page comes `after` the last name of this one."""
        query = (
            _accounts()
            .where(models.Organisation.name == organisation, models.Account.name > after)
            .order_by(models.Account.name)
            .limit(limit)
        )
        with self._store.transaction(writes=False) as session:
            return [_to_account(*row) for row in session.execute(query)]

    def set_role(self, account: str, role: Role, *, by: str | None) -> None:
        """Give an account another role. Raises NotFound E5106."""
        self._set(account, by, "account.role", {"role": role}, {"role": role})

    def set_public_name(self, account: str, public_name: str | None, *, by: str | None) -> None:
        """Show a name on leaderboards, or none.

        Raises:
            NotFound: E5106 no such account.
            UsageError: E2118 another account of the organisation shows that name.

        """
        try:
            self._set(account, by, "account.public_name", {"public_name": public_name}, {"name": public_name})
        except IntegrityError:
            raise _taken(f"the public name {public_name!r}") from None

    def disable(self, account: str, *, by: str | None) -> None:
        """Keep an account out from now on, its tokens too; what it sent stays. Raises NotFound E5106."""
        self._set(account, by, "account.disable", {"disabled_at": _clock()}, {})

    def enable(self, account: str, *, by: str | None) -> None:
        """Let a disabled account in again. Raises NotFound E5106."""
        self._set(account, by, "account.enable", {"disabled_at": None}, {})

    def set_password(self, account: str, password: str, *, by: str | None) -> None:
        """Give an account a password; only its argon2id hash is kept. Raises NotFound E5106."""
        self._set(account, by, "account.password", {"password_hash": _hasher.hash(_bytes(password))}, {})

    def check_password(self, organisation: str, name: str, password: str) -> Account | None:
        """Return the account if the password is its own and it is not disabled.

        An unknown name, or one without a password, takes as long as a wrong password: the time tells
        nobody which names there are.
        """
        with self._store.transaction(writes=False) as session:
            account = _account(session, models.Organisation.name == organisation, models.Account.name == name)
            known = account and session.get_one(models.Account, account.id).password_hash
        if not account or not known:
            _hasher.hash(_bytes(password))
            return None
        try:
            _hasher.verify(known, _bytes(password))
        except VerificationError:
            return None
        if _hasher.check_needs_rehash(known):
            fresh = _hasher.hash(_bytes(password))
            with self._store.transaction(writes=True) as session:
                unchanged = (models.Account.id == account.id, models.Account.password_hash == known)
                session.execute(update(models.Account).where(*unchanged).values(password_hash=fresh))
        return account if account.disabled_at is None else None

    def issue_token(
        self, account: str, *, label: str, scopes: frozenset[str], seconds: float | None, by: str | None
    ) -> tuple[str, Token]:
        """Return a new token, which is told this once, and what is known of it; `seconds` until it expires."""
        with self._store.transaction(writes=True) as session:
            return _issue(session, account, label, scopes, seconds, by)

    def by_token(self, token: str) -> Access | None:
        """Return whose token it is: None if unknown, revoked, expired, or the account is disabled.

        When it was used is kept to the minute, so that most requests write nothing.
        """
        now = _clock()
        with self._store.transaction(writes=False) as session:
            found = session.execute(_by_token(), {"sha256": _digest(token)}).one_or_none()
            if found is None:
                return None
            *parts, row = found
            account, known = _to_account(*parts), _to_token(row)
        if account.disabled_at or known.revoked_at or (known.expires_at and known.expires_at <= now):
            return None
        minute = now.replace(second=0, microsecond=0)
        if known.last_used_at is None or known.last_used_at < minute:
            with self._store.transaction(writes=True) as session:
                session.execute(update(models.Token).where(models.Token.id == known.id).values(last_used_at=minute))
        return Access(account=account, token=known)

    def tokens(self, account: str) -> list[Token]:
        """Return an account's tokens, the newest first."""
        query = select(models.Token).where(models.Token.account_id == account).order_by(models.Token.id.desc())
        with self._store.transaction(writes=False) as session:
            return [_to_token(row) for row in session.scalars(query)]

    def revoke_token(self, token: str, account: str, *, by: str | None) -> bool:
        """End a token of an account by its id; False if it has none of that id that still stands."""
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            mine = (models.Token.id == token, models.Token.account_id == account, models.Token.revoked_at.is_(None))
            revoked = _changed(session, update(models.Token).where(*mine).values(revoked_at=now))
            if revoked:
                _record(session, now, by, "token.revoke", token)
            return revoked

    def start_device(self, *, label: str, scopes: frozenset[str]) -> Device:
        """Begin a login by device code (RFC 8628); nobody is asked who they are yet."""
        secret, letters = secrets.token_urlsafe(32), "".join(secrets.choice(_LETTERS) for _ in range(8))
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            session.execute(delete(models.DeviceLogin).where(models.DeviceLogin.expires_at <= now))
            row = models.DeviceLogin(
                sha256=_digest(secret),
                user_code=f"{letters[:4]}-{letters[4:]}",
                label=label,
                scopes=" ".join(sorted(scopes)),
                expires_at=now + dt.timedelta(seconds=DEVICE_SECONDS),
                denied=False,
            )
            session.add(row)
            return Device(
                device_code=secret, user_code=row.user_code, expires_at=row.expires_at, poll_seconds=POLL_SECONDS
            )

    def asked(self, user_code: str) -> Asked | None:
        """Return what the person with this code is to approve; None if unknown, answered or expired."""
        with self._store.transaction(writes=False) as session:
            row = session.scalar(select(models.DeviceLogin).where(*_open(session, user_code)))
            if row is None:
                return None
            return Asked(user_code=row.user_code, label=row.label, scopes=frozenset(row.scopes.split()))

    def answer_device(self, user_code: str, account: str, *, approve: bool) -> bool:
        """Let whoever shows this code log in as that account, or deny it; False as where `asked` has None."""
        values = {"account_id": account} if approve else {"denied": True}
        with self._store.transaction(writes=True) as session:
            statement = update(models.DeviceLogin).where(*_open(session, user_code)).values(values)
            answered = _changed(session, statement)
            if answered:
                action = "device.approve" if approve else "device.deny"
                _record(session, writes.now_of(session), account, action, account)
            return answered

    def poll_device(self, device_code: str, *, seconds: float | None) -> Poll:
        """Tell how a login by device code stands; once approved, once, with a token good for `seconds`."""
        with self._store.transaction(writes=True) as session:
            now = writes.now_of(session)
            row = session.get(models.DeviceLogin, _digest(device_code), with_for_update=True)
            if row is None or row.expires_at <= now:
                return Poll(status="expired")
            if row.account_id is None and not row.denied:
                last, row.polled_at = row.polled_at, now
                # Half of what was asked for: a clock that runs a little fast is no haste.
                hasty = last is not None and now - last < dt.timedelta(seconds=POLL_SECONDS / 2)
                return Poll(status="slow_down" if hasty else "pending")
            session.delete(row)
            if row.account_id is None or session.get_one(models.Account, row.account_id).disabled_at:
                return Poll(status="denied")
            scopes = frozenset(row.scopes.split())
            token, _ = _issue(session, row.account_id, row.label, scopes, seconds, row.account_id)
            return Poll(status="approved", token=token)

    def record(self, action: str, subject: str, *, by: str | None, **details: Any) -> None:
        """Add a line to the audit trail."""
        with self._store.transaction(writes=True) as session:
            _record(session, writes.now_of(session), by, action, subject, **details)

    def audit(
        self, limit: int, *, before: str | None = None, account: str | None = None, subject: str | None = None
    ) -> list[Entry]:
        """Return the audit trail, the newest first; the next page is what came `before` the last id of this one."""
        query = (
            select(models.Audit, models.Learner.name)
            .outerjoin(models.Account, models.Account.id == models.Audit.account_id)
            .outerjoin(models.Learner, models.Learner.id == models.Account.learner_id)
            .order_by(models.Audit.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(models.Audit.id < before)
        if account is not None:
            query = query.where(models.Audit.account_id == account)
        if subject is not None:
            query = query.where(models.Audit.subject == subject)
        with self._store.transaction(writes=False) as session:
            return [
                Entry(
                    id=row.id,
                    at=row.at,
                    account=row.account_id,
                    name=name,
                    action=row.action,
                    subject=row.subject,
                    details=row.details,
                )
                for row, name in session.execute(query)
            ]

    def _find(self, *where: ColumnElement[bool]) -> Account | None:
        with self._store.transaction(writes=False) as session:
            return _account(session, *where)

    def _set(self, account: str, by: str | None, action: str, values: dict[str, Any], details: dict[str, Any]) -> None:
        with self._store.transaction(writes=True) as session:
            if not _changed(session, update(models.Account).where(models.Account.id == account).values(values)):
                raise _unknown(f"account {account!r}")
            _record(session, writes.now_of(session), by, action, account, **details)


def _accounts(*more: type[models.Base]) -> Select[*tuple[Any, ...]]:
    return (
        select(models.Account, models.Organisation.name, models.Learner.name, *more)
        .join(models.Organisation, models.Organisation.id == models.Account.organisation_id)
        .join(models.Learner, models.Learner.id == models.Account.learner_id)
    )


def _clock() -> dt.datetime:
    """Return the moment by this machine's clock: every request asks, and the database's would be one more question."""
    return dt.datetime.now(dt.UTC)


@functools.cache
def _by_token() -> Select[*tuple[Any, ...]]:
    query = _accounts(models.Token).join(models.Token, models.Token.account_id == models.Account.id)
    return query.where(models.Token.sha256 == bindparam("sha256"))


def _account(session: Session, *where: ColumnElement[bool]) -> Account | None:
    found = session.execute(_accounts().where(*where)).one_or_none()
    return None if found is None else _to_account(*found)


def _to_account(row: models.Account, organisation: str, learner: str) -> Account:
    return Account(
        id=row.id,
        organisation=organisation,
        name=row.name,
        learner=learner,
        role=cast("Role", row.role),  # the database checks it
        public_name=row.public_name,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )


def _to_token(row: models.Token) -> Token:
    return Token(
        id=row.id,
        account=row.account_id,
        label=row.label,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _issue(
    session: Session, account: str, label: str, scopes: frozenset[str], seconds: float | None, by: str | None
) -> tuple[str, Token]:
    now = writes.now_of(session)
    if session.get(models.Account, account) is None:
        raise _unknown(f"account {account!r}")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = models.Token(
        id=new_id("t"),
        account_id=account,
        sha256=_digest(token),
        label=label,
        scopes=" ".join(sorted(scopes)),
        created_at=now,
        expires_at=None if seconds is None else now + dt.timedelta(seconds=seconds),
    )
    session.add(row)
    _record(session, now, by, "token.issue", row.id, account=account, label=label, scopes=sorted(scopes))
    return token, _to_token(row)


def _open(session: Session, user_code: str) -> tuple[ColumnElement[bool], ...]:
    """Return what holds for a login that waits for an answer; people type small letters and no hyphen."""
    letters = "".join(letter for letter in user_code.upper() if letter in _LETTERS)
    return (
        models.DeviceLogin.user_code == f"{letters[:4]}-{letters[4:]}",
        models.DeviceLogin.expires_at > writes.now_of(session),
        models.DeviceLogin.account_id.is_(None),
        models.DeviceLogin.denied.is_(False),
    )


def _record(session: Session, now: dt.datetime, by: str | None, action: str, subject: str, **details: Any) -> None:
    session.add(models.Audit(id=new_id("e"), at=now, account_id=by, action=action, subject=subject, details=details))


def _changed(session: Session, statement: Update) -> bool:
    changed = session.execute(statement, execution_options={"synchronize_session": False})
    return isinstance(changed, CursorResult) and changed.rowcount == 1


def _digest(secret: str) -> str:
    return hashlib.sha256(_bytes(secret)).hexdigest()


def _bytes(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")  # JSON can hold half a surrogate pair


def _taken(what: str) -> UsageError:
    return UsageError("E2118", f"there is already {what}", cause="it must be one of a kind", hint="choose another")


def _unknown(what: str) -> NotFound:
    return NotFound("E5106", f"no {what}", cause="there is none, or it was named wrongly", hint="look at the spelling")
