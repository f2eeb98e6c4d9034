"""Login at an OpenID provider: a real one, of a few lines, that checks what it is sent and signs with a real key."""

import base64
import hashlib
import hmac
import json
import threading
import time
from urllib.parse import parse_qs

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from grader.errors import UsageError
from grader.server import settings
from tests.server.conftest import problem

pytestmark = pytest.mark.parametrize("where", ["sqlite"], indirect=True)
CLIENT, SECRET, BACK = "grader", "b6c1f2d3e4a59687", "http://localhost:8000/v1/oidc/callback"


class Provider:
    """A provider at which one person is logged in and says yes; `spoil` changes what it signs, and with what."""

    def __init__(self):
        """Serve on a free port."""
        self.app = FastAPI()
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.person = {}
        self.spoil = lambda header, claims, key: (header, claims, key)
        self.codes = {}
        for path, answer in (
            ("/.well-known/openid-configuration", self.describe),
            ("/authorize", self.authorize),
            ("/keys", lambda: {"keys": [self.key.as_dict(private=False)]}),
        ):
            self.app.add_api_route(path, answer)
        self.app.add_api_route("/token", self.token, methods=["POST"], response_model=None)
        self.server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_level="error"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.issuer = f"http://127.0.0.1:{port}"

    def describe(self):
        """Tell what there is."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
        }

    def authorize(self, request: Request) -> RedirectResponse:
        """Send the browser back with a code."""
        asked = dict(request.query_params)
        assert (asked["client_id"], asked["response_type"], asked["redirect_uri"]) == (CLIENT, "code", BACK)
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = hashlib.sha256(asked["state"].encode()).hexdigest()
        self.codes[code] = asked
        return RedirectResponse(f"{BACK}?code={code}&state={asked['state']}", 302)

    async def token(self, request: Request):
        """Give an id token for a code, once, to who has the client's secret and the verifier."""
        sent = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self.codes.pop(sent["code"], None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or request.headers["authorization"] != f"Basic {basic}"
            or (sent["redirect_uri"], challenge) != (BACK, asked["code_challenge"])
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        header, claims, key = self.spoil({"alg": "RS256", "kid": "1"}, claims | self.person, self.key)
        signed = by_hand(header, claims, key) if isinstance(key, bytes) else jwt.encode(header, claims, key)
        return {"access_token": "x", "token_type": "Bearer", "id_token": signed}

    def stop(self):
        """End."""
        self.server.should_exit = True
        self.thread.join()


def by_hand(header, claims, secret):
    """Write an id token as no library would: signed with a secret or, that being empty, not at all."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.digest(secret, b".".join(parts), "sha256") if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture(scope="module")
def running():
    """Start a provider, for all tests."""
    found = Provider()
    yield found
    found.stop()


@pytest.fixture
def provider(running):
    """Return the provider with its person, spoiling nothing."""
    running.person = {"sub": "4711", "preferred_username": "grace"}
    running.spoil = lambda header, claims, key: (header, claims, key)
    return running


@pytest.fixture
def client(serve, provider):
    """Return a browser at a server that knows the provider."""
    return serve(
        public_url="http://localhost:8000",
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
    )


def begin(client):
    """Go to the provider and back, up to the server's own address."""
    away = client.get("/v1/oidc/login", follow_redirects=False)
    assert away.status_code == 302
    back = httpx2.get(away.headers["location"]).headers["location"]
    return back.removeprefix("http://localhost:8000")


def test_a_person_of_the_provider_gets_an_account_and_then_always_the_same(client, provider, world):
    """A learner's at first, under the name they go by; their role is the operators' to change."""
    told = client.get(begin(client)).json()
    account = world.identity.by_token(told["token"]).account
    assert (account.learner, account.role) == ("main/grace", "learner")
    assert client.get("/v1/account", headers={"Authorization": f"Bearer {told['token']}"}).json()["name"] == "grace"
    world.identity.set_role(account.id, "instructor", by=None)
    provider.person["preferred_username"] = "renamed"
    again = client.get(begin(client)).json()
    assert world.identity.by_token(again["token"]).account.id == account.id
    assert again["scopes"] == ["read", "staff", "submit"]
    actions = [each.action for each in world.identity.audit(9, account=account.id)]
    assert actions == ["token.issue", "token.issue"]


@pytest.mark.parametrize("name", ["ada", "a/b", "", "x" * 200])
def test_nobody_gets_an_account_by_its_name(client, provider, world, name):
    """Whose name is taken, or cannot be one, gets another."""
    provider.person["preferred_username"] = name
    told = client.get(begin(client)).json()
    account = world.identity.by_token(told["token"]).account
    assert account.name.startswith("oidc-")
    assert account.id != world.accounts["main/ada"].id


def test_a_disabled_account_is_kept_out(client, world):
    """However often its owner logs in at the provider."""
    told = client.get(begin(client)).json()
    world.identity.disable(world.identity.by_token(told["token"]).account.id, by=None)
    problem(client.get(begin(client)), 401, "E6102")


SPOILT = {
    "for somebody else": lambda header, claims, key: (header, claims | {"aud": "another"}, key),
    "by another": lambda header, claims, key: (header, claims | {"iss": "http://evil"}, key),
    "too old": lambda header, claims, key: (header, claims | {"exp": claims["exp"] - 3600}, key),
    "of another login": lambda header, claims, key: (header, claims | {"nonce": "x"}, key),
    "of nobody": lambda header, claims, key: (header, {k: v for k, v in claims.items() if k != "sub"}, key),
    "with another key": lambda header, claims, _: (header, claims, RSAKey.generate_key(2048, {"kid": "1"})),
    "with the public key as a secret": lambda _, claims, key: ({"alg": "HS256"}, claims, key.as_pem(private=False)),
    "unsigned": lambda _, claims, __: ({"alg": "none"}, claims, b""),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_an_id_token_that_does_not_hold_lets_nobody_in(client, provider, world, spoil):
    """Each claim and the signature are looked at."""
    provider.spoil = spoil
    problem(client.get(begin(client)), 401, "E6116")
    assert world.identity.by_name("main", "grace") is None


def test_a_login_ends_in_the_browser_where_it_began(client, world):
    """In another, twice, refused by the person, or made up: nobody is let in."""
    address = begin(client)
    cookies = dict(client.cookies)
    client.cookies.clear()
    problem(client.get(address), 401, "E6116")
    client.cookies.update(cookies)
    assert client.get(address).status_code == 200
    client.cookies.update(cookies)
    problem(client.get(address), 401, "E6116")
    problem(client.get("/v1/oidc/callback?error=access_denied&state=x"), 401, "E6116")
    problem(client.get("/v1/oidc/callback?code=x&state=x"), 401, "E6116")
    problem(client.get("/v1/oidc/callback"), 401, "E6116")


def test_a_provider_that_is_down_or_another_is_told(provider, serve):
    """503, now and until it is back; without a provider there is nothing here."""
    known = {"public_url": "http://localhost:8000", "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    for issuer in (f"{provider.issuer}/", "http://127.0.0.1:1"):
        problem(serve(oidc_issuer=issuer, **known).get("/v1/oidc/login"), 503, "E6115")
    problem(serve().get("/v1/oidc/login"), 404, "E5205")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"public_url": ""}, "GRADER_PUBLIC_URL"),
        ({"public_url": "http://grader.example.org"}, "GRADER_PUBLIC_URL"),
        ({"oidc_issuer": "http://id.example.org"}, "GRADER_OIDC_ISSUER"),
        ({"oidc_client_id": ""}, "GRADER_OIDC_CLIENT_ID"),
        ({"oidc_client_secret": "short"}, "GRADER_OIDC_CLIENT_SECRET"),
    ],
)
def test_a_provider_is_set_up_whole_or_not_at_all(where, changed, named):
    """What is missing, weak or in the clear is named at the start."""
    whole = {
        "public_url": "https://grader.example.org",
        "oidc_issuer": "https://id.example.org",
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
    }
    assert settings.read(embedded=True, **whole).oidc_client_id == CLIENT
    with pytest.raises(UsageError, match=named):
        settings.read(embedded=True, **(whole | changed))
