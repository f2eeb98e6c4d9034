"""Logging in: passwords give tokens, tokens give less than themselves, a device code gives one token once."""

import datetime as dt

import pytest

from grader.store.models import Account, Audit
from tests.server.conftest import PASSWORD, moment, problem

ADA = "main/ada"
LOGIN = {"organisation": "main", "name": "ada", "password": PASSWORD}


@pytest.fixture
def ada(as_):
    """Return ada's headers."""
    return as_(ADA)


def bearer(token):
    """Return the headers of a request with a token."""
    return {"Authorization": f"Bearer {token}"}


def test_a_password_gives_a_token(client, world):
    """The token does what the role allows; the audit trail says that it was issued."""
    world.identity.set_password(world.accounts[ADA].id, PASSWORD, by=None)
    issued = client.post("/v1/login", json=LOGIN).json()
    assert issued["token"].startswith("grt_")
    assert issued["scopes"] == ["read", "submit"]
    assert moment(issued["expires_at"]) > dt.datetime.now(dt.UTC) + dt.timedelta(days=80)
    assert client.get("/v1/account", headers=bearer(issued["token"])).json()["name"] == "ada"
    with world.store.transaction(writes=False) as session:
        assert session.query(Audit).filter_by(action="token.issue", subject=issued["id"]).count() == 1


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "changed", [{"password": "wrong"}, {"name": "nobody"}, {"organisation": "other"}, {"organisation": "none"}]
)
def test_every_wrong_login_looks_alike(client, world, changed):
    """Nobody learns which names there are."""
    world.identity.set_password(world.accounts[ADA].id, PASSWORD, by=None)
    refused = client.post("/v1/login", json=LOGIN | changed)
    problem(refused, 401, "E6103")
    assert refused.text == client.post("/v1/login", json=LOGIN | {"password": "also wrong"}).text


def test_a_disabled_account_is_out_at_once(client, world, ada):
    """Neither its password nor its tokens are accepted any more."""
    world.identity.set_password(world.accounts[ADA].id, PASSWORD, by=None)
    world.identity.disable(world.accounts[ADA].id, by=None)
    problem(client.post("/v1/login", json=LOGIN), 401, "E6103")
    problem(client.get("/v1/account", headers=ada), 401, "E6102")


def test_logins_of_one_name_are_slowed(client):
    """Ten at once, then one in six seconds; of another name it goes on."""
    answers = [client.post("/v1/login", json=LOGIN | {"name": "guessed"}) for _ in range(11)]
    assert [each.status_code for each in answers] == [401] * 10 + [429]
    problem(answers[-1], 429, "E6106")
    problem(client.post("/v1/login", json=LOGIN), 401, "E6103")


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer grt_unknown", "bearer \x00", "Bearer " + "a" * 4000],
)
def test_what_is_no_token_is_refused(client, header):
    """With 401 and how to log in, whatever stands in the header."""
    answer = client.get("/v1/account", headers={"Authorization": header.encode()})
    assert answer.json()["code"] in {"E6101", "E6102"}
    assert answer.headers["www-authenticate"].startswith("Bearer")
    problem(answer, 401, answer.json()["code"])


def test_an_expired_token_is_refused(client, world):
    """And so is one that was revoked, by whoever has it."""
    problem(client.get("/v1/account", headers=bearer(world.token(ADA, {"read"}, seconds=0.0))), 401, "E6102")
    token = world.token(ADA, {"read", "submit"})
    listed = client.get("/v1/tokens", headers=bearer(token)).json()["tokens"]
    assert token not in str(listed)
    assert client.delete(f"/v1/tokens/{listed[0]['id']}", headers=bearer(token)).status_code == 204
    problem(client.get("/v1/account", headers=bearer(token)), 401, "E6102")


def test_a_token_gives_no_more_than_it_has(client, world):
    """Neither more scopes nor more time."""
    token = bearer(world.token("main/operator", {"submit", "read"}, seconds=3600.0))
    wanted = {"label": "more", "scopes": ["operate"]}
    problem(client.post("/v1/tokens", headers=token, json=wanted), 403, "E6104")
    issued = client.post("/v1/tokens", headers=token, json={"label": "less", "scopes": ["read"], "days": 30})
    assert issued.status_code == 201
    assert moment(issued.json()["expires_at"]) <= dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    for bad in ({"label": "x"}, wanted | {"scopes": []}, wanted | {"scopes": ["all"]}, wanted | {"days": 0}):
        problem(client.post("/v1/tokens", headers=token, json=bad), 422, "E6111")


def test_a_device_code_gives_a_token_once_it_is_approved(client, ada):
    """Pending, then approved with the token, then gone; approved by whoever has the user code and is logged in."""
    device = client.post("/v1/devices", json={"label": "ada's laptop"}).json()
    poll = {"device_code": device["device_code"]}
    assert client.post("/v1/devices/poll", json=poll).json() == {"status": "pending", "token": ""}
    assert client.post("/v1/devices/poll", json=poll).json()["status"] == "slow_down"
    path = f"/v1/devices/{device['user_code'].lower()}"
    assert client.get(path, headers=ada).json()["label"] == "ada's laptop"
    assert client.post(path, headers=ada, json={"approve": True}).status_code == 204
    problem(client.post(path, headers=ada, json={"approve": True}), 404, "E5204")
    polled = client.post("/v1/devices/poll", json=poll).json()
    assert polled["status"] == "approved"
    assert client.get("/v1/account", headers=bearer(polled["token"])).json()["name"] == "ada"
    assert client.post("/v1/devices/poll", json=poll).json()["status"] == "expired"


def test_a_device_code_can_be_denied_and_asks_for_no_more_than_its_approver_has(client, ada):
    """Whoever asks a learner for an operator's token does not get it."""
    device = client.post("/v1/devices", json={"scopes": ["read", "operate"]}).json()
    path = f"/v1/devices/{device['user_code']}"
    problem(client.post(path, headers=ada, json={"approve": True}), 403, "E6104")
    assert client.post(path, headers=ada, json={"approve": False}).status_code == 204
    polled = client.post("/v1/devices/poll", json={"device_code": device["device_code"]}).json()
    assert polled == {"status": "denied", "token": ""}


def test_no_token_or_password_stands_in_the_database(client, world, ada):
    """Only hashes are kept."""
    world.identity.set_password(world.accounts[ADA].id, PASSWORD, by=None)
    with world.store.transaction(writes=False) as session:
        kept = session.query(Account.password_hash).filter_by(id=world.accounts[ADA].id).scalar()
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept
