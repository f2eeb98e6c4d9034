"""What `serve`, `queue`, `gpu`, `audit`, `user`, `token` and `db` do, where the database of a server can be reached."""

import datetime as dt
import importlib.util
import secrets
import sys
from contextlib import closing
from typing import TYPE_CHECKING, cast, get_args

import msgspec

from grader.cli import terminal
from grader.errors import NotFound, UsageError

if TYPE_CHECKING:
    from grader.store import Store
    from grader.store.gpus import Gpus
    from grader.store.identity import Account, Identity, Role

_NEEDED = {
    "argon2": "argon2-cffi",
    "authlib": "Authlib",
    "fastapi": "fastapi",
    "httptools": "httptools",
    "itsdangerous": "itsdangerous",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
    "python_multipart": "python-multipart",
    "sqlalchemy": "SQLAlchemy",
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
}
_DAY_SECONDS = 86400.0
_FAULTS = 100
"""How many submissions without a verdict are listed: more have one cause."""
_SHORTEST_PASSWORD = 12


def serve(host: str, port: int, *, embedded: bool) -> int:
    """Run the server until Ctrl-C or SIGTERM."""
    _need_server()
    from grader.server import settings  # noqa: PLC0415  the server's extra

    found = settings.read(embedded=embedded)
    from grader.server import serve as server  # noqa: PLC0415

    server.serve(found, host, port)
    return 0


def queue(*, json: bool) -> int:
    """Print what waits in each queue, and the submissions that staff are to look at."""
    with closing(_store()) as store:
        lines, faults, gpus = store.lines(), store.faults(_FAULTS), _gpus(store).all()
    now = dt.datetime.now(dt.UTC)
    waited = {each.queue: max(0, round((now - each.oldest).total_seconds())) for each in lines if each.oldest}
    if json:
        queues = [
            {
                "queue": each.queue,
                "waiting": each.waiting,
                "oldest_seconds": waited.get(each.queue),
                "running": each.running,
            }
            for each in lines
        ]
        terminal.answer_json({"schema": "grader/queue/1", "queues": queues, "gpus": gpus, "failed": faults})
        return 0
    for each in lines:
        oldest = f"the first for {waited[each.queue]} s" if each.queue in waited else "-"
        terminal.answer(f"{each.queue}\t{each.waiting} waiting\t{oldest}\t{each.running} being judged")
    if not lines:
        terminal.answer("nothing waits, and nothing is being judged")
    for gpu in gpus:
        state = f"in quarantine: {_one_line(gpu.quarantine)}" if gpu.quarantine else "free"
        state = f"judging {gpu.judging}" if gpu.judging else state
        about = [gpu.model, f"driver {gpu.driver}", f"{gpu.memory_mib} MiB"]
        terminal.answer("\t".join([gpu.id, gpu.worker, *map(_one_line, about), state]))
    for fault in faults:
        terminal.answer(
            "\t".join(
                [fault.submission, fault.exercise, fault.learner, f"{fault.at:%Y-%m-%d %H:%M}", _one_line(fault.cause)]
            )
        )
    if faults:
        terminal.hint("these have no verdict, by our own fault: mend the cause, then grader rejudge ID")
    return 0


def restore_gpu(gpu: str) -> int:
    """Let workers have a GPU again that was in quarantine."""
    with closing(_store()) as store:
        if not _gpus(store).restore(gpu):
            raise NotFound("E5140", f"no GPU {gpu!r} is in quarantine", hint="grader queue")
        _identity(store).record("gpu.restore", gpu, by=None)
    terminal.say(f"{gpu} may be used again; a worker tries it before it judges there")
    return 0


def audit(subject: str, organisation: str, name: str, limit: int, before: str, *, json: bool) -> int:
    """Print who did what, the newest first."""
    with closing(_store()) as store:
        identity = _identity(store)
        account = _account(identity, organisation, name).id if name else None
        found = identity.audit(limit, before=before or None, account=account, subject=subject or None)
    if json:
        terminal.answer_json({"schema": "grader/audit/1", "entries": found})
        return 0
    for each in found:
        details = " ".join(f"{key}={value}" for key, value in each.details.items())
        columns = [
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.name or "-",
            each.action,
            each.subject,
            _one_line(details) or "-",
        ]
        terminal.answer("\t".join(columns))
    if len(found) == limit:
        terminal.hint(f"older ones: grader audit --before {found[-1].id}")
    return 0


def add_user(organisation: str, name: str, role: str, public_name: str, *, password_stdin: bool) -> int:
    """Add an account, and its organisation if that is new; print its password if nobody gave one."""
    _need_server()
    from grader.store.identity import NAME  # noqa: PLC0415  the server's extra

    for each in (organisation, name):
        if not NAME.fullmatch(each):
            raise UsageError(
                "E1203",
                f"{each!r} cannot be a name",
                cause="names have 1 to 100 letters and digits, and . _ @ - within",
                hint="grader user add ada --organisation main",
            )
    password = _password(stdin=password_stdin)
    with closing(_store()) as store:
        identity = _identity(store)
        try:
            identity.add_organisation(organisation)
        except UsageError as error:
            if error.code != "E2118":  # it is there already
                raise
        account = identity.add_account(organisation, name, role=_role(role), public_name=public_name or None)
        identity.set_password(account.id, password, by=None)
    terminal.say(f"added {account.learner}, {account.role}")
    if not password_stdin:
        terminal.answer(password)
    return 0


def list_users(organisation: str, *, json: bool) -> int:
    """Print an organisation's accounts, by name."""
    with closing(_store()) as store:
        found: list[Account] = []
        page = _identity(store).accounts(organisation, 1000)
        while page:
            found += page
            page = _identity(store).accounts(organisation, 1000, after=page[-1].name)
    if json:
        listed = [msgspec.structs.asdict(each) for each in found]
        terminal.answer_json({"schema": "grader/accounts/1", "organisation": organisation, "accounts": listed})
    else:
        for each in found:
            state = "disabled" if each.disabled_at else "-"
            terminal.answer(f"{each.name}\t{each.role}\t{state}\t{each.public_name or '-'}\t{each.id}")
    return 0


def change_role(organisation: str, name: str, role: str) -> int:
    """Give an account another role; its tokens can do no more than it allows, from now on."""
    with closing(_store()) as store:
        identity = _identity(store)
        identity.set_role(_account(identity, organisation, name).id, _role(role), by=None)
    terminal.say(f"{organisation}/{name} is {role} now")
    return 0


def change_password(organisation: str, name: str, *, password_stdin: bool) -> int:
    """Give an account a new password; print it if nobody gave one."""
    password = _password(stdin=password_stdin)
    with closing(_store()) as store:
        identity = _identity(store)
        identity.set_password(_account(identity, organisation, name).id, password, by=None)
    if not password_stdin:
        terminal.answer(password)
    return 0


def disable_user(organisation: str, name: str, *, enable: bool) -> int:
    """Keep an account out, its tokens too; or let it in again."""
    with closing(_store()) as store:
        identity = _identity(store)
        account = _account(identity, organisation, name)
        (identity.enable if enable else identity.disable)(account.id, by=None)
    terminal.say(f"{organisation}/{name} is {'enabled' if enable else 'disabled'}; what it sent stays")
    return 0


def issue_token(organisation: str, name: str, label: str, scopes: list[str], days: float) -> int:
    """Print a new token of an account; it is told this once."""
    with closing(_store()) as store:
        from grader.server.access import SCOPES  # noqa: PLC0415  the server's extra

        identity = _identity(store)
        account = _account(identity, organisation, name)
        wanted = frozenset[str](scopes) or SCOPES[account.role]
        if more := wanted - SCOPES[account.role]:
            raise UsageError(
                "E1204",
                f"a token of {account.learner} cannot have the scope {min(more)}",
                cause=f"the role {account.role} allows {', '.join(sorted(SCOPES[account.role]))}",
                hint="ask for less, or change the role: grader user role",
            )
        token, known = identity.issue_token(
            account.id, label=label, scopes=wanted, seconds=days * _DAY_SECONDS, by=None
        )
    terminal.answer(token)
    terminal.hint(f"it is {known.id}, until {known.expires_at:%Y-%m-%d}; it is not shown again")
    return 0


def list_tokens(organisation: str, name: str, *, json: bool) -> int:
    """Print what is known of an account's tokens, the newest first."""
    with closing(_store()) as store:
        identity = _identity(store)
        found = identity.tokens(_account(identity, organisation, name).id)
    if json:
        listed = [{**msgspec.structs.asdict(each), "scopes": sorted(each.scopes)} for each in found]
        terminal.answer_json({"schema": "grader/tokens/1", "tokens": listed})
    else:
        for each in found:
            state = "revoked" if each.revoked_at else f"until {each.expires_at:%Y-%m-%d}" if each.expires_at else "-"
            terminal.answer(f"{each.id}\t{','.join(sorted(each.scopes))}\t{state}\t{each.label}")
    return 0


def revoke_token(organisation: str, name: str, token: str) -> int:
    """End a token of an account."""
    with closing(_store()) as store:
        identity = _identity(store)
        if not identity.revoke_token(token, _account(identity, organisation, name).id, by=None):
            raise NotFound("E5203", f"no token {token!r} that still stands", hint=f"grader token list {name}")
    terminal.say(f"{token} is revoked")
    return 0


def upgrade_database() -> int:
    """Bring the database to this grader's version; making it, where it is empty."""
    with closing(_store()) as store:
        store.waiting()
    from grader.store.database import HEAD  # noqa: PLC0415  the server's extra

    terminal.say(f"the database is at version {HEAD}")
    return 0


def check_database(*, json: bool) -> int:
    """Say at which version the database is; 1 where that is not this grader's. Changes nothing."""
    _need_server()
    from grader.server import serve, settings  # noqa: PLC0415  the server's extra
    from grader.store import version_at  # noqa: PLC0415

    found, needed = version_at(serve.address(settings.read(embedded=True)))
    if json:
        terminal.answer_json({"schema": "grader/database/1", "version": found, "needed": needed})
    else:
        terminal.answer(f"the database is {f'at version {found}' if found else 'empty'}; this grader needs {needed}")
    if found != needed:
        terminal.hint("grader db upgrade")
    return 0 if found == needed else 1


def _one_line(text: str) -> str:
    """Make a text fit for a column: it may come from a submission."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _store() -> "Store":
    _need_server()
    from grader.server import serve, settings  # noqa: PLC0415  the server's extra
    from grader.store import open_store  # noqa: PLC0415

    return open_store(serve.address(settings.read(embedded=True)))  # no broker is needed here


def _gpus(store: "Store") -> "Gpus":
    from grader.store.gpus import Gpus  # noqa: PLC0415  the server's extra

    return Gpus(store)


def _identity(store: "Store") -> "Identity":
    from grader.store.identity import Identity  # noqa: PLC0415  the server's extra

    return Identity(store)


def _account(identity: "Identity", organisation: str, name: str) -> "Account":
    found = identity.by_name(organisation, name)
    if found is None:
        raise NotFound(
            "E5106", f"no account {organisation}/{name}", hint=f"grader user list --organisation {organisation}"
        )
    return found


def _role(role: str) -> "Role":
    from grader.store.identity import Role  # noqa: PLC0415  the server's extra

    if role not in get_args(Role):
        raise UsageError("E1203", f"there is no role {role!r}", hint=f"one of {', '.join(get_args(Role))}")
    return cast("Role", role)


def _password(*, stdin: bool) -> str:
    if not stdin:
        return secrets.token_urlsafe(16)
    password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < _SHORTEST_PASSWORD:
        raise UsageError(
            "E1205",
            f"the password has fewer than {_SHORTEST_PASSWORD} characters",
            hint="leave --password-stdin out, and one is made and printed",
        )
    return password


def _need_server() -> None:
    absent = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise UsageError(
            "E1206",
            "this installation has no server",
            cause=f"not installed: {', '.join(absent)}",
            hint='pip install "grader[server]"; with [server,judge] for --embedded',
        )
