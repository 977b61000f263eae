"""Who may do what: API keys, and bearer tokens of an OpenID provider."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from vagus.errors import VagusError, nearest
from vagus.serve.problem import Problem

__all__ = ["Access", "Caller", "new_key"]

_KEY_PREFIX = "vagus_"
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
_LEEWAY_S = 30
_WAIT_S = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks: a name for the log, and patterns of what they may do."""

    name: str
    scopes: tuple[str, ...]

    def may(self, scope: str) -> bool:
        """Whether one of the patterns covers a scope."""
        return any(fnmatchcase(scope, pattern) for pattern in self.scopes)


class Tokens(Protocol):
    """Tells who bears a token."""

    def caller(self, token: str) -> Caller:
        """The bearer. Raises Problem 401 for a token that is not good."""


class Access:
    """Tells callers by what they bring along, and what they may do.

    A scope is `command:NAME`, `query:VIEW`, or `operation` for measures; patterns have `*`.
    """

    def __init__(self, keys: Mapping[str, Caller], tokens: Tokens | None = None) -> None:
        self._keys, self._tokens = dict(keys), tokens

    @classmethod
    def of_file(cls, path: str) -> Access:
        """The access that a TOML file describes. Raises VagusError where it can't be used.

        It has tables `[[key]]` with `name`, `sha256` and `scopes`, and a table `[oidc]` with
        `issuer` and `audience`, where there is such a provider.
        """
        try:
            said = tomllib.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise VagusError(f"expected a TOML file: {error}", where=path) from None
        _known(said, ("key", "oidc"), path)
        keys = {}
        listed = said.get("key", [])
        if not isinstance(listed, list):
            raise VagusError("expected [[key]] tables", where=path, hint="with two brackets")
        for number, entry in enumerate(listed, 1):
            where = f"{path}, key {number}"
            _known(entry, ("name", "sha256", "scopes"), where)
            digest = _text(entry, "sha256", where).lower()
            keys[digest] = Caller(_text(entry, "name", where), _scopes(entry, where))
        provider = said.get("oidc")
        if provider is None and not keys:
            raise VagusError(
                "expected [[key]] or [oidc], got neither: nobody could do anything", where=path
            )
        return cls(keys, None if provider is None else _provider(provider, path))

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who asks. Raises Problem 401. May take a while: it may have to ask the provider."""
        key = headers.get("x-api-key")
        bearer = headers.get("authorization", "")
        if key is None and bearer[:7].lower() == "bearer ":
            token = bearer[7:].strip()
            if not token.startswith(_KEY_PREFIX):
                if self._tokens is None:
                    raise _unknown("a bearer token is not known here: send an API key")
                return self._tokens.caller(token)
            key = token
        if key is None:
            raise _unknown("expected an API key or a bearer token, got none")
        digest = hashlib.sha256(key.encode()).hexdigest()
        for known, caller in self._keys.items():
            if hmac.compare_digest(known, digest):
                return caller
        raise _unknown("expected a known API key, got another")

    def check(self, caller: Caller, scope: str) -> None:
        """Raise Problem 403 if the caller may not do that."""
        if not caller.may(scope):
            raise Problem(
                403,
                "forbidden",
                f"{caller.name!r} has no scope {scope!r}",
                hint="whoever keeps the access file can grant it",
            )


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """A new API key, and the lines of the access file that let it in."""
    key = _KEY_PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    listed = ", ".join(_quoted(scope) for scope in scopes)
    entry = f'[[key]]\nname = {_quoted(name)}\nsha256 = "{digest}"\nscopes = [{listed}]\n'
    return key, entry


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Provider:
    """An OpenID provider: its tokens are JWTs, signed with keys that it publishes."""

    def __init__(self, issuer: str, audience: str, jwks_url: str | None) -> None:
        self._issuer, self._audience, self._jwks_url = issuer, audience, jwks_url
        self._keys: Any = None

    def caller(self, token: str) -> Caller:
        import jwt

        try:
            key = self._published().get_signing_key_from_jwt(token).key
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Problem(
                503, "no-provider", f"the keys of {self._issuer} can't be read: {error}"
            ) from error
        except jwt.PyJWTError as error:
            raise _unknown(f"expected a token of {self._issuer}: {error}") from error
        return Caller(str(claims.get("sub", "somebody")), _claimed(claims))

    def _published(self) -> Any:
        import jwt

        if self._keys is None:
            url = self._jwks_url or self._discovered()
            self._keys = jwt.PyJWKClient(url, timeout=_WAIT_S)
        return self._keys

    def _discovered(self) -> str:
        import httpx

        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            answer = httpx.get(url, timeout=_WAIT_S, follow_redirects=True)
            found: str = answer.raise_for_status().json()["jwks_uri"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise Problem(503, "no-provider", f"{url} can't be read: {error}") from error
        return found


def _provider(said: Any, path: str) -> _Provider:
    where = f"{path}, oidc"
    _known(said, ("issuer", "audience", "jwks_url"), where)
    try:
        import httpx  # noqa: F401
        import jwt  # noqa: F401
    except ImportError as error:
        raise VagusError(
            f"expected the extra 'auth', which checks bearer tokens: {error}",
            hint="pip install 'vagus[auth]'",
        ) from None
    jwks_url = _text(said, "jwks_url", where) if "jwks_url" in said else None
    return _Provider(_text(said, "issuer", where), _text(said, "audience", where), jwks_url)


def _claimed(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes of a token, in whichever claim its provider puts them."""
    found: list[str] = []
    for name in ("scope", "scp", "permissions"):
        value = claims.get(name, ())
        found += value.split() if isinstance(value, str) else [str(each) for each in value]
    return tuple(found)


def _unknown(detail: str) -> Problem:
    return Problem(401, "unauthenticated", detail)


def _known(said: Any, names: Sequence[str], where: str) -> None:
    if not isinstance(said, dict):
        raise VagusError(f"expected a table, got {said!r}", where=where)
    for name in said:
        if name not in names:
            raise VagusError(
                f"expected {', '.join(names)}, got {name!r}", where=where, hint=nearest(name, names)
            )


def _text(said: Mapping[str, Any], name: str, where: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise VagusError(f"expected a text for {name!r}, got {value!r}", where=where)
    return value


def _scopes(said: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = said.get("scopes")
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise VagusError(
            f"expected a list of scopes, got {value!r}",
            where=where,
            hint='scopes = ["command:*", "query:orders"]',
        )
    return tuple(value)
