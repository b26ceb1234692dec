"""Login by OpenID Connect, against a small provider of the tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from streams.desk.desk import Desk
from streams.desk.oidc import Oidc
from streams.errors import SettingsError
from tests.support.desks import Browser, desk_settings, place, users_file

ISSUER = "https://id.test"
SECRET = "the client's secret"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one"})


class Provider:
    """Knows one client, and says of its user what a test wants to be said."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"email": "rita@shop.test", "email_verified": True}
        self.key, self.header = KEY, {"alg": "RS256", "kid": "one"}
        self.changes: dict[str, Any] = {}
        self.nonce = self.challenge = ""
        self.asked: list[str] = []
        self.addresses: dict[str, str] = {}
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", lambda _: JSONResponse({"keys": [KEY.as_dict(private=False)]})),
            ]
        )

    async def configuration(self, _: Request) -> JSONResponse:
        names = {
            name: f"{ISSUER}/{path}"
            for name, path in (
                ("authorization_endpoint", "authorize"),
                ("token_endpoint", "token"),
                ("jwks_uri", "keys"),
            )
        }
        return JSONResponse({"issuer": ISSUER, **names, **self.addresses})

    async def token(self, request: Request) -> JSONResponse:
        form = dict((await request.form()).items())
        self.asked.append(str(form["code"]))
        if form["code"] != "good" or not form.get("code_verifier"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        standard = {"iss": ISSUER, "aud": "desk", "sub": "1", "iat": now, "exp": now + 300, "nonce": self.nonce}
        token = jwt.encode(self.header, standard | self.claims | self.changes, self.key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def sees(self, address: str) -> dict[str, str]:
        """Take the browser that was sent here, and return what it brought."""
        assert address.startswith(f"{ISSUER}/authorize?")
        brought = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.nonce, self.challenge = brought["nonce"], brought["code_challenge"]
        return brought


@pytest.fixture
def provider() -> Provider:
    return Provider()


def desk_of(folder: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Desk:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    oidc = {
        "issuer": ISSUER,
        "client_id": "desk",
        "client_secret_env": "OIDC_SECRET",
        "public_url": "http://127.0.0.1",
        "role_claim": "groups",
        "roles": {"support-leads": "lead", "support": "reviewer"},
    }
    settings = desk_settings(folder, oidc=oidc, **more)
    assert settings.desk.has_login
    assert settings.desk.oidc is not None
    desk = Desk(settings)
    desk.oidc = Oidc(settings.desk.oidc, httpx.ASGITransport(provider.app))
    return desk


async def come_back(browser: Browser, provider: Provider, code: str = "good", **changes: str) -> httpx.Response:
    """Go to the provider and come back with a code."""
    sent = await browser.get("/oidc/start?next=/tickets/t-1")
    assert sent.status_code == 303, sent.text
    brought = provider.sees(sent.headers["location"])
    assert (brought["client_id"], brought["code_challenge_method"]) == ("desk", "S256")
    assert brought["redirect_uri"] == "http://127.0.0.1/oidc/callback"
    return await browser.get("/oidc/callback", params={"code": code, "state": brought["state"]} | changes)


async def test_the_users_file_says_what_somebody_may(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams.desk.roles import Role
    from streams.desk.users import User, remove_user, set_user

    path = users_file(tmp_path)
    set_user(path, "rita@shop.test", User(role=Role.LEAD))
    desk = desk_of(tmp_path, provider, monkeypatch, users=str(path))
    async with Browser(desk) as browser:
        assert "Log in with id.test" in (await browser.see("/login")).text
        assert place(await come_back(browser, provider)) == "/tickets/t-1"
        assert (await browser.see("/journal")).status_code == 200
        assert "rita@shop.test" in (await browser.see("/queue")).text
        remove_user(path, "rita@shop.test")
        assert place(await browser.get("/queue")) == "/login"


async def test_a_claim_stands_for_a_role_and_nobody_else_comes_in(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(tmp_path, provider, monkeypatch)
    async with Browser(desk) as browser:
        assert place(await browser.get("/queue")) == "/login"
        assert (await come_back(browser, provider)).status_code == 403
        provider.claims["groups"] = ["support", "support-leads", "x"]
        assert place(await come_back(browser, provider)) == "/tickets/t-1"
        assert "(lead)" in (await browser.see("/queue")).text


BAD = [
    {"iss": "https://evil.test"},
    {"aud": "another"},
    {"exp": 1},
    {"nonce": "another"},
    {"email_verified": False},
    {"email": None},
    {"email": "a\x1bb"},
]


@pytest.mark.parametrize("changes", BAD, ids=str)
async def test_a_token_that_is_not_for_this_login_lets_nobody_in(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    desk = desk_of(tmp_path, provider, monkeypatch, default_role="operator")
    provider.changes = changes
    async with Browser(desk) as browser:
        assert (await come_back(browser, provider)).status_code == 403
        assert place(await browser.get("/queue")) == "/login"


async def test_a_token_of_another_key_or_a_code_of_another_attempt_lets_nobody_in(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(tmp_path, provider, monkeypatch, default_role="operator")
    async with Browser(desk) as browser, Browser(desk) as other:
        assert (await come_back(browser, provider, "stolen")).status_code == 403
        assert (await come_back(browser, provider, state="another")).status_code == 403
        assert (await come_back(browser, provider, error="access_denied", code="")).status_code == 403
        assert (await other.get("/oidc/callback?code=good&state=x")).status_code == 403, "it has begun no login"
        provider.key = OTHER_KEY
        assert (await come_back(browser, provider)).status_code == 403
        provider.key, provider.header = OctKey.import_key(SECRET), {"alg": "HS256", "kid": "one"}  # type: ignore[assignment]
        assert (await come_back(browser, provider)).status_code == 403
        assert place(await browser.get("/queue")) == "/login"
        provider.key, provider.header = KEY, {"alg": "RS256", "kid": "one"}
        assert place(await come_back(browser, provider)) == "/tickets/t-1"


def test_a_secret_that_is_not_there_is_named(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(tmp_path, provider, monkeypatch)
    assert desk.settings.desk.oidc is not None
    monkeypatch.delenv("OIDC_SECRET")
    with pytest.raises(SettingsError, match="the variable OIDC_SECRET is not set"):
        Oidc(desk.settings.desk.oidc)


async def test_a_provider_by_plain_http_is_one_on_this_machine(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"client_id": "desk", "client_secret_env": "OIDC_SECRET", "public_url": "https://desk.test"}
    for issuer in ("http://id.test", "http://10.0.0.1:8080/realm", "http://localhost.test", "http://127.0.0.1@id.test"):
        with pytest.raises(SettingsError, match="plain http is for this machine alone"):
            desk_settings(tmp_path, oidc=values | {"issuer": issuer})
    for issuer in ("https://id.test", "http://127.0.0.1:5556/dex", "http://localhost:9000", "http://[::1]:9000"):
        assert desk_settings(tmp_path, oidc=values | {"issuer": issuer}).desk.oidc is not None
    desk = desk_of(tmp_path, provider, monkeypatch)
    provider.addresses = {"token_endpoint": "http://id.test/token"}
    async with Browser(desk) as browser:
        refused = await browser.get("/oidc/start")
    assert refused.status_code == 503
    assert "not reached by HTTPS" in refused.text
