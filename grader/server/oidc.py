"""Login at an OpenID provider: the authorization code flow with PKCE (OpenID Connect Core 3.1, RFC 7636).

`/v1/oidc/login` sends a browser to the provider, which sends it back to `/v1/oidc/callback`. What must not be forged
in between is in a signed cookie of that browser: state, nonce and the verifier of PKCE.

Whoever comes for the first time gets an account: a learner's, for an issuer and a subject, and never one that is there
already under the same name.
"""

import contextlib
import hashlib
import hmac

from authlib.integrations.starlette_client import OAuthError, StarletteIntegration, StarletteOAuth2App
from authlib.oauth2.rfc6749 import OAuth2Error
from fastapi import FastAPI, Request
from httpx2 import HTTPError
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response

from grader.errors import LoginNeeded, NotFound, OurFault, UsageError
from grader.server import access, shapes
from grader.server.accounts import log_in_as
from grader.server.service import On, Service
from grader.server.settings import Settings
from grader.store.identity import NAME, Account

routes = access.router("accounts")

_MINUTES = 10
_PATIENCE_SECONDS = 5.0
_ALGORITHMS = "id_token_signing_alg_values_supported"
_SIGNATURES = frozenset(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512))
_FOREIGN = (OAuthError, OAuth2Error, JoseError, KeyError, ValueError, TypeError)
"""What Authlib raises on an answer that is not as it must be."""


def set_up(app: FastAPI, settings: Settings) -> None:
    """Make ready for the provider that the settings name, if they do; nobody asks it anything yet."""
    app.state.provider = None
    if not settings.oidc_issuer:
        return
    secret = settings.oidc_client_secret.get_secret_value()
    app.state.provider = StarletteOAuth2App(
        StarletteIntegration("oidc"),
        "oidc",
        client_id=settings.oidc_client_id,
        client_secret=secret,
        server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile", "code_challenge_method": "S256", "timeout": _PATIENCE_SECONDS},
    )
    app.add_middleware(
        SessionMiddleware,
        secret_key=hmac.digest(secret.encode(), b"grader oidc cookie", "sha256").hex(),  # of all processes the same
        session_cookie="grader_oidc",
        max_age=_MINUTES * 60,
        path="/v1/oidc",
        https_only=settings.public_url.startswith("https:"),
    )


@routes.get("/v1/oidc/login", status_code=302, response_class=Response)
async def begin(request: Request, on: On) -> Response:
    """Send a browser to the OpenID provider; it comes back to `/v1/oidc/callback`."""
    found = await _provider(request, on)
    answer: Response = await found.authorize_redirect(request, f"{on.settings.public_url.rstrip('/')}/v1/oidc/callback")
    return answer


@routes.get("/v1/oidc/callback")
async def end(request: Request, on: On) -> shapes.Issued:
    """Take the browser back, and issue a token for whoever the provider says it is."""
    found = await _provider(request, on)
    try:
        token = await found.authorize_access_token(request)
        person = token["userinfo"]
        subject, wanted = str(person["sub"]), str(person.get("preferred_username", ""))
    except HTTPError as error:
        raise _down(str(error)) from error
    except _FOREIGN as error:
        raise LoginNeeded(
            "E6116",
            "the login at the OpenID provider failed",
            cause=f"it was refused, took more than {_MINUTES} minutes, or its answer does not hold: {error}",
            hint="begin again at /v1/oidc/login",
        ) from error
    return await run_in_threadpool(_log_in, on, subject, wanted)


async def _provider(request: Request, on: Service) -> StarletteOAuth2App:
    """Return the provider, which has told about itself. Raises NotFound E5205, OurFault E6115."""
    found: StarletteOAuth2App | None = request.app.state.provider
    if found is None:
        raise NotFound("E5205", "this server has no login by OpenID", hint="grader auth login")
    try:
        metadata = await found.load_server_metadata()
    except (HTTPError, ValueError) as error:
        raise _down(str(error)) from error
    if metadata.get("issuer") != on.settings.oidc_issuer:
        raise _down(f"it calls itself {metadata.get('issuer')!r}, not as GRADER_OIDC_ISSUER does")
    # Authlib takes whatever the provider lists, and some list `none`: a token that nobody has signed.
    metadata[_ALGORITHMS] = [each for each in metadata.get(_ALGORITHMS, ["RS256"]) if each in _SIGNATURES] or ["RS256"]
    return found


def _down(cause: str) -> OurFault:
    return OurFault("E6115", "the OpenID provider does not answer as it must", cause=cause, hint="try again later")


def _log_in(on: Service, subject: str, wanted: str) -> shapes.Issued:
    account = _account(on, subject, wanted)
    if account.disabled_at is not None:
        raise LoginNeeded("E6102", "this account is disabled", hint="ask who runs this server")
    return log_in_as(on, account, "OpenID")


def _account(on: Service, subject: str, wanted: str) -> Account:
    """Return the account of a subject, new if need be: of the name it goes by or, that being taken, of another."""
    issuer, organisation = on.settings.oidc_issuer, on.settings.oidc_organisation
    found = on.identity.by_oidc(issuer, subject)
    if found is not None:
        return found
    other = f"oidc-{hashlib.sha256(f'{issuer} {subject}'.encode()).hexdigest()[:12]}"
    for name in (wanted, other) if NAME.fullmatch(wanted) else (other,):
        with contextlib.suppress(UsageError):  # E2118: that name is taken, or this very subject logs in twice at once
            on.identity.add_account(organisation, name, role="learner", oidc=(issuer, subject))
        if (found := on.identity.by_oidc(issuer, subject)) is not None:
            return found
    raise LoginNeeded("E6116", "no account could be made", cause=f"{organisation}/{other} is another's")
