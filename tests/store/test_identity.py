"""Organisations, accounts, passwords, tokens, logins by device code, and the audit trail, on both databases."""

import datetime as dt
import re
import threading
import time

import argon2
import pytest
from sqlalchemy.exc import IntegrityError

from grader.errors import NotFound, UsageError
from grader.store import identity as identities
from grader.store import writes
from grader.store.identity import DEVICE_SECONDS, Identity
from grader.store.models import Account, DeviceLogin, Token

HOUR = 3600.0
READ = frozenset({"read"})
PASSWORD = "correct horse"  # noqa: S105  nobody's

POLL = """
import sys
from grader.store import open_store
from grader.store.identity import Identity
store = open_store(sys.argv[1])
sys.stdin.readline()
print(Identity(store).poll_device(sys.argv[2], seconds=None).status)
store.close()
"""


@pytest.fixture
def identity(store):
    """Return the identities of a store with one organisation."""
    identity = Identity(store)
    identity.add_organisation("school")
    return identity


@pytest.fixture
def ada(identity):
    """Return a learner's account."""
    return identity.add_account("school", "ada", role="learner")


@pytest.fixture
def clock(monkeypatch):
    """Return a function: let the clocks go so many seconds before or after."""

    def shift(seconds):
        moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        monkeypatch.setattr(writes, "now_of", lambda _: moment)
        monkeypatch.setattr(identities, "_clock", lambda: moment)
        return moment

    return shift


def test_an_account_is_found_by_its_name_its_learner_and_its_id(identity, ada):
    """It is the same account each time; a name alone says nothing without its organisation."""
    assert (ada.organisation, ada.name, ada.learner, ada.role) == ("school", "ada", "school/ada", "learner")
    assert identity.by_name("school", "ada") == identity.by_learner("school/ada") == identity.account(ada.id) == ada
    assert identity.by_name("firm", "ada") is identity.by_name("school", "bob") is identity.account("a_none") is None


def test_an_account_owns_what_its_learner_sends(store, send, identity, ada):
    """One learner, one account."""
    queued = send(store, learner=ada.learner)
    assert identity.by_learner(store.learner(queued.submission)) == ada


def test_names_are_unique_in_their_organisation(identity, ada):
    """E2118 for a name, a public name, an OIDC subject or an organisation that is taken; elsewhere all are free."""
    identity.add_organisation("firm")
    identity.add_account("firm", "ada", role="learner", public_name="Ada")
    identity.add_account("school", "bob", role="learner", public_name="Bob", oidc=("https://idp", "1"))
    identity.set_public_name(ada.id, "Ada", by=ada.id)
    for taken in (
        lambda: identity.add_organisation("school"),
        lambda: identity.add_account("school", "ada", role="learner"),
        lambda: identity.add_account("school", "eve", role="learner", public_name="Bob"),
        lambda: identity.add_account("firm", "eve", role="learner", oidc=("https://idp", "1")),
        lambda: identity.set_public_name(ada.id, "Bob", by=ada.id),
    ):
        with pytest.raises(UsageError) as caught:
            taken()
        assert caught.value.code == "E2118"
    assert [account.name for account in identity.accounts("school", 9)] == ["ada", "bob"]
    assert identity.by_oidc("https://idp", "1").name == "bob"
    assert identity.by_oidc("https://idp", "2") is None
    assert identity.by_name("school", "ada").public_name == "Ada"


def test_accounts_come_in_pages(identity):
    """By name; the next page begins after the last name."""
    for name in ("cyd", "ada", "bob"):
        identity.add_account("school", name, role="learner")
    first = identity.accounts("school", 2)
    assert [account.name for account in first] == ["ada", "bob"]
    assert [account.name for account in identity.accounts("school", 2, after="bob")] == ["cyd"]


def test_what_is_not_there_cannot_be_changed(identity):
    """E5106, and no line in the audit trail."""
    before = identity.audit(99)
    for ask in (
        lambda: identity.add_account("firm", "ada", role="learner"),
        lambda: identity.set_role("a_none", "operator", by=None),
        lambda: identity.set_password("a_none", PASSWORD, by=None),
        lambda: identity.disable("a_none", by=None),
        lambda: identity.issue_token("a_none", label="x", scopes=READ, seconds=None, by=None),
    ):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.code == "E5106"
    assert identity.audit(99) == before


def test_there_are_four_roles(identity, ada):
    """The database itself refuses another."""
    identity.set_role(ada.id, "instructor", by=None)
    assert identity.account(ada.id).role == "instructor"
    with pytest.raises(IntegrityError, match="role"):
        identity.set_role(ada.id, "god", by=None)
    assert identity.account(ada.id).role == "instructor"


def test_a_password_lets_its_account_in(identity, ada, rows):
    """Only an argon2id hash is kept; another password, name or organisation, or none set, lets nobody in."""
    assert identity.check_password("school", "ada", PASSWORD) is None
    identity.set_password(ada.id, PASSWORD, by=ada.id)
    assert identity.check_password("school", "ada", PASSWORD) == ada
    assert identity.check_password("school", "ada", PASSWORD + " ") is None
    assert identity.check_password("school", "bob", PASSWORD) is None
    assert identity.check_password("firm", "ada", PASSWORD) is None
    ((kept,),) = rows(Account.password_hash)
    assert kept.startswith("$argon2id$")
    identity.disable(ada.id, by=None)
    assert identity.check_password("school", "ada", PASSWORD) is None
    identity.enable(ada.id, by=None)
    assert identity.check_password("school", "ada", PASSWORD) == ada


@pytest.mark.parametrize("password", ["", "🙂" * 1000, "\ud800", "a\0b"])
def test_any_text_can_be_a_password(password, identity, ada):
    """Whatever JSON can say is hashed, whole."""
    identity.set_password(ada.id, password, by=None)
    assert identity.check_password("school", "ada", password) == ada
    assert identity.check_password("school", "ada", password + "x") is None


def test_a_hash_of_older_parameters_is_renewed_at_the_next_login(identity, ada, rows, monkeypatch):
    """The person notices nothing; a wrong password renews nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(identities, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        identity.set_password(ada.id, PASSWORD, by=None)
    old = rows(Account.password_hash)
    identity.check_password("school", "ada", "wrong")
    assert rows(Account.password_hash) == old
    assert identity.check_password("school", "ada", PASSWORD) == ada
    assert rows(Account.password_hash) != old
    assert identity.check_password("school", "ada", PASSWORD) == ada


def test_an_unknown_name_takes_as_long_as_a_wrong_password(identity, ada):
    """Processor time of the two, the least of five each, differs by less than a third; a hash is most of it."""
    identity.set_password(ada.id, PASSWORD, by=None)
    identity.add_account("school", "without", role="learner")
    spent = {name: min(_seconds(identity, name) for _ in range(5)) for name in ("ada", "nobody", "without")}
    assert max(spent.values()) < 1.33 * min(spent.values()), spent


def _seconds(identity, name):
    before = time.process_time()
    assert identity.check_password("school", name, "wrong") is None
    return time.process_time() - before


def test_a_token_says_whose_it_is(identity, ada, rows):
    """256 random bits after the prefix; only the hash is kept."""
    token, known = identity.issue_token(ada.id, label="laptop", scopes=READ | {"submit"}, seconds=HOUR, by=ada.id)
    assert re.fullmatch(r"grt_[A-Za-z0-9_-]{43}", token)
    access = identity.by_token(token)
    assert access.account == ada
    assert (access.token.label, access.token.scopes) == ("laptop", {"read", "submit"})
    assert abs(access.token.expires_at - access.token.created_at - dt.timedelta(seconds=HOUR)) < dt.timedelta(seconds=1)
    assert token not in str(rows(*Token.__table__.columns))
    assert identity.by_token(known.id) is identity.by_token("") is identity.by_token(token + "x") is None
    assert identity.by_token("grt_\ud800") is None


def test_a_token_ends(identity, ada, clock):
    """By its time, by being revoked, with its account: from then on it is as good as unknown."""
    short, _ = identity.issue_token(ada.id, label="short", scopes=READ, seconds=HOUR, by=None)
    revoked, known = identity.issue_token(ada.id, label="revoked", scopes=READ, seconds=None, by=None)
    lasting, _ = identity.issue_token(ada.id, label="lasting", scopes=READ, seconds=None, by=None)
    assert identity.revoke_token(known.id, "a_another", by=None) is False
    assert identity.by_token(revoked)
    assert identity.revoke_token(known.id, ada.id, by=ada.id) is True
    assert identity.revoke_token(known.id, ada.id, by=ada.id) is False
    assert identity.by_token(revoked) is None
    clock(HOUR - 60.0)
    assert identity.by_token(short)
    clock(HOUR + 60.0)
    assert identity.by_token(short) is None
    assert identity.by_token(lasting)
    identity.disable(ada.id, by=None)
    assert identity.by_token(lasting) is None


def test_the_use_of_a_token_is_kept_to_the_minute(identity, ada, clock):
    """So that of many requests one a minute writes."""
    token, _ = identity.issue_token(ada.id, label="x", scopes=READ, seconds=None, by=None)
    assert identity.tokens(ada.id)[0].last_used_at is None
    now = clock(0.0)
    identity.by_token(token)
    assert identity.tokens(ada.id)[0].last_used_at == now.replace(second=0, microsecond=0)
    clock(60.0)
    identity.by_token(token)
    assert identity.tokens(ada.id)[0].last_used_at == (now + dt.timedelta(minutes=1)).replace(second=0, microsecond=0)


def test_tokens_are_listed_the_newest_first(identity, ada):
    """Each account's own."""
    for label in ("first", "second"):
        identity.issue_token(ada.id, label=label, scopes=READ, seconds=None, by=None)
        time.sleep(0.002)  # ids sort by the millisecond
    assert [token.label for token in identity.tokens(ada.id)] == ["second", "first"]
    assert identity.tokens("a_another") == []


def test_a_device_logs_in_when_a_person_approves(identity, ada):
    """Pending, then approved with a token of its label and scopes, and that once."""
    device = identity.start_device(label="laptop", scopes=READ)
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", device.user_code)
    assert identity.poll_device(device.device_code, seconds=HOUR).status == "pending"
    typed = device.user_code.lower().replace("-", " ")
    assert identity.asked(typed).label == "laptop"
    assert identity.answer_device(typed, ada.id, approve=True) is True
    assert identity.asked(device.user_code) is None
    assert identity.answer_device(device.user_code, ada.id, approve=True) is False
    poll = identity.poll_device(device.device_code, seconds=HOUR)
    assert poll.status == "approved"
    access = identity.by_token(poll.token)
    assert (access.account, access.token.label, access.token.scopes) == (ada, "laptop", READ)
    again = identity.poll_device(device.device_code, seconds=HOUR)
    assert (again.status, again.token) == ("expired", "")


def test_a_device_that_asks_too_often_is_told_to_slow_down(identity, clock):
    """As RFC 8628 has it; a device that waits as asked is not."""
    device = identity.start_device(label="x", scopes=READ)
    states = []
    for seconds in (0.0, 1.0, 2.0, 7.0, 12.0):
        clock(seconds)
        states.append(identity.poll_device(device.device_code, seconds=None).status)
    assert states == ["pending", "slow_down", "slow_down", "pending", "pending"]


def test_a_denied_device_gets_nothing(identity, ada):
    """Nor does one whose account was disabled after it had approved."""
    denied, disabled = (identity.start_device(label="x", scopes=READ) for _ in range(2))
    assert identity.answer_device(denied.user_code, ada.id, approve=False)
    assert identity.answer_device(disabled.user_code, ada.id, approve=True)
    identity.disable(ada.id, by=None)
    for device in (denied, disabled):
        poll = identity.poll_device(device.device_code, seconds=None)
        assert (poll.status, poll.token) == ("denied", "")
        assert identity.poll_device(device.device_code, seconds=None).status == "expired"
    assert identity.tokens(ada.id) == []


def test_a_device_code_expires(identity, ada, clock, rows):
    """Unanswered or approved, it is worth nothing after its time, and the next login clears it away."""
    first, second = (identity.start_device(label="x", scopes=READ) for _ in range(2))
    identity.answer_device(first.user_code, ada.id, approve=True)
    clock(DEVICE_SECONDS + 1.0)
    assert identity.answer_device(second.user_code, ada.id, approve=True) is False
    for device in (first, second):
        assert identity.poll_device(device.device_code, seconds=None).status == "expired"
    assert identity.poll_device("unknown", seconds=None).status == "expired"
    identity.start_device(label="x", scopes=READ)
    assert len(rows(DeviceLogin.sha256)) == 1


def test_one_of_many_that_poll_at_once_gets_the_token(identity, ada, where, child):
    """Single use holds for real processes too."""
    device = identity.start_device(label="x", scopes=READ)
    identity.answer_device(device.user_code, ada.id, approve=True)
    processes = [child(POLL, where, device.device_code) for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.communicate()[0] for process in processes) == ["approved\n"] + ["expired\n"] * 3
    assert len(identity.tokens(ada.id)) == 1


def test_whatever_changes_leaves_a_line(identity, ada):
    """Who, what, on what; never a password or a token."""
    identity.set_role(ada.id, "instructor", by=ada.id)
    identity.set_password(ada.id, PASSWORD, by=ada.id)
    token, known = identity.issue_token(ada.id, label="x", scopes=READ, seconds=None, by=ada.id)
    identity.revoke_token(known.id, ada.id, by=ada.id)
    identity.record("submission.overrule", "s_1", by=ada.id, reason="a slip of ours")
    entries = identity.audit(99)
    assert sorted((entry.action, entry.subject, entry.account) for entry in entries) == sorted(
        [
            ("organisation.add", "school", None),
            ("account.add", ada.id, None),
            ("account.role", ada.id, ada.id),
            ("account.password", ada.id, ada.id),
            ("token.issue", known.id, ada.id),
            ("token.revoke", known.id, ada.id),
            ("submission.overrule", "s_1", ada.id),
        ]
    )
    assert {entry.action: entry.details for entry in entries}["submission.overrule"] == {"reason": "a slip of ours"}
    assert PASSWORD not in str(entries)
    assert token not in str(entries)


def test_an_act_and_its_line_are_kept_together_or_not_at_all(store, identity, ada, send):
    """Where the line cannot be written nothing was done; what another thread stores meanwhile is its own."""
    sent = send(store).submission
    others = []

    def act(by):
        with store.together():
            if store._engine.dialect.name == "postgresql":  # SQLite has one writer at a time
                thread = threading.Thread(target=lambda: others.append(send(store, learner="bob").submission))
                thread.start()
                thread.join()
            judging = store.rejudge(sent).judging
            identity.record("submission.rejudge", sent, by=by, judging=judging)

    with pytest.raises(IntegrityError):
        act("a_nobody")
    assert len(store.submission(sent).judgings) == 1
    assert identity.audit(9, subject=sent) == []
    assert all(store.source(each) for each in others)
    act(ada.id)
    assert len(store.submission(sent).judgings) == 2
    (entry,) = identity.audit(9, subject=sent)
    assert (entry.account, entry.name) == (ada.id, "school/ada")
    assert entry.details == {"judging": store.submission(sent).judgings[1].judging}


def test_the_audit_trail_comes_in_pages(identity, ada):
    """The newest first; of one account or one subject where asked."""
    for number in range(5):
        identity.record("test", f"s_{number}", by=ada.id if number % 2 else None)
        time.sleep(0.002)  # ids sort by the millisecond
    first = identity.audit(2)
    assert [entry.subject for entry in first] == ["s_4", "s_3"]
    assert [entry.subject for entry in identity.audit(2, before=first[-1].id)] == ["s_2", "s_1"]
    assert [entry.subject for entry in identity.audit(9, account=ada.id)] == ["s_3", "s_1"]
    assert [entry.subject for entry in identity.audit(9, subject="s_2")] == ["s_2"]


@pytest.mark.parametrize("change", ["UPDATE audit SET action = 'another'", "DELETE FROM audit"])
def test_the_audit_trail_only_grows(change, identity, execute):
    """The database itself refuses, whatever program asks."""
    before = identity.audit(9)
    with pytest.raises(IntegrityError, match="the audit trail only grows"):
        execute(change)
    assert identity.audit(9) == before != []
