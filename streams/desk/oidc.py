"""Login by OpenID Connect: the authorization code flow with PKCE, and who the identity token says somebody is."""

from __future__ import annotations

import asyncio
import os
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx
import orjson

from streams.desk.roles import Role
from streams.errors import SettingsError
from streams.settings import OidcSettings, is_private

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

CALLBACK = "/oidc/callback"
_SCOPE = "openid email profile"
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
_TIMEOUT_S = 10.0
_LEEWAY_S = 60


class OidcFailed(Exception):
    """A login that cannot be completed, with one sentence for the person."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a browser keeps while its user is at the provider."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def begin(cls, to: str) -> Self:
        """Return a new attempt that leads to a page afterwards."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), to)

    def cookie(self) -> str:
        """Return it as the value of a cookie."""
        return orjson.dumps([self.state, self.nonce, self.verifier, self.next]).hex()

    @classmethod
    def of(cls, cookie: str) -> Self | None:
        """Return the attempt that a cookie holds; None if it holds none."""
        try:
            state, nonce, verifier, to = orjson.loads(bytes.fromhex(cookie))
        except (ValueError, TypeError):
            return None
        return (
            cls(state, nonce, verifier, to)
            if all(isinstance(each, str) for each in (state, nonce, verifier, to))
            else None
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who the provider says somebody is, and the role that its claims stand for; None if they stand for none."""

    name: str
    role: Role | None


class Oidc:
    """One provider. ``transport`` is for tests."""

    def __init__(self, settings: OidcSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._secret = os.environ.get(settings.client_secret_env, "")
        if not self._secret:
            raise SettingsError(f"desk.oidc.client_secret_env: the variable {settings.client_secret_env} is not set")
        self._transport = transport
        self._found: dict[str, Any] | None = None
        self._lock = asyncio.Lock()

    @property
    def host(self) -> str:
        """The provider's name, for the button."""
        return urlsplit(self._settings.issuer).hostname or self._settings.issuer

    async def address(self, attempt: Attempt) -> str:
        """Return where to send the browser; raises OidcFailed."""
        provider = await self._provider()
        client = _client(self._settings, self._secret, self._transport)
        try:
            address, _ = client.create_authorization_url(
                provider["authorization_endpoint"],
                state=attempt.state,
                code_verifier=attempt.verifier,
                nonce=attempt.nonce,
            )
        finally:
            await client.aclose()
        return str(address)

    async def claimed(self, attempt: Attempt, code: str) -> Claimed:
        """Return who has come back with a code; raises OidcFailed."""
        provider = await self._provider()
        client = _client(self._settings, self._secret, self._transport)
        try:
            token = await client.fetch_token(provider["token_endpoint"], code=code, code_verifier=attempt.verifier)
            keys = (await client.request("GET", provider["jwks_uri"], withhold_token=True)).json()
            claims = self._checked(token["id_token"], keys, attempt.nonce)
        except OidcFailed:
            raise
        except Exception as error:
            # Whatever a provider sends: no login comes of it.
            raise OidcFailed(f"the login at {self.host} failed: {type(error).__name__}") from error
        finally:
            await client.aclose()
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or not name.strip() or len(name) > 256 or not name.isprintable():
            raise OidcFailed(f"{self.host} does not say who you are: the claim {self._settings.name_claim} is missing")
        if self._settings.name_claim == "email" and claims.get("email_verified") is not True:
            raise OidcFailed(f"{self.host} has not verified your e-mail address")
        return Claimed(name, self._role(claims))

    def _checked(self, token: str, keys: Any, nonce: str) -> dict[str, Any]:
        """Return the claims of an identity token that is the provider's, for us, of this attempt and not too old."""
        from joserfc import jwt
        from joserfc.jwk import KeySet

        decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(decoded.claims)
        return dict(decoded.claims)

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the greatest role that a claim stands for."""
        if self._settings.role_claim is None:
            return None
        said = claims.get(self._settings.role_claim)
        values = said if isinstance(said, list) else [said]
        roles = [
            Role(self._settings.roles[each])
            for each in values
            if isinstance(each, str) and each in self._settings.roles
        ]
        return max(roles, key=list(Role).index, default=None)

    async def _provider(self) -> dict[str, Any]:
        async with self._lock:
            if self._found is None:
                address = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                try:
                    async with httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT_S) as client:
                        found = (await client.get(address)).raise_for_status().json()
                except (httpx.HTTPError, ValueError) as error:
                    raise OidcFailed(f"{self.host} does not answer: {type(error).__name__}") from error
                needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
                if (
                    not isinstance(found, dict)
                    or found.get("issuer") != self._settings.issuer
                    or not all(isinstance(found.get(name), str) for name in needed)
                ):
                    raise OidcFailed(f"{self.host} is not the issuer of the settings")
                if not all(is_private(found[name]) for name in needed):
                    raise OidcFailed(f"{self.host} names an address that is not reached by HTTPS")
                self._found = found
            return self._found


def _client(settings: OidcSettings, secret: str, transport: httpx.AsyncBaseTransport | None) -> AsyncOAuth2Client:
    with warnings.catch_warnings():
        # Authlib names the successor of httpx; the rest of the project is on httpx.
        warnings.simplefilter("ignore")
        from authlib.integrations.httpx_client import AsyncOAuth2Client

    return AsyncOAuth2Client(
        settings.client_id,
        secret,
        scope=_SCOPE,
        redirect_uri=settings.public_url.rstrip("/") + CALLBACK,
        code_challenge_method="S256",
        transport=transport,
        timeout=_TIMEOUT_S,
    )
