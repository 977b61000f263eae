"""Requests to a registry: who asks, how long it may take, and what is said when it fails."""

from __future__ import annotations

import os
import random
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from vagus.errors import RegistryUnavailable, VagusError

try:
    import httpx
except ImportError as error:
    raise VagusError(
        f"expected the extra 'kafka', which speaks to schema registries: {error}",
        hint="pip install 'vagus[kafka]'",
    ) from None

__all__ = ["Access", "Refusal", "Rest"]

DEADLINE_S = 8.0  # for a request with all its repetitions
_CONNECT_S = 3.0
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_VARIABLE = "VAGUS_REGISTRY_"


@dataclass(frozen=True, slots=True)
class Access:
    """What a registry asks of those who speak to it: a name and password, certificates.

    `ca` is a file with the certificates that are trusted, `certificate` and `key` are files with
    what proves who we are; all of them are in PEM.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> Self:
        """The access that VAGUS_REGISTRY_USER, _PASSWORD, _CA, _CERT, _KEY, _KEY_PASSWORD name.

        With _FILE behind it, a variable names a file that holds the value.
        """
        return cls(
            _variable("USER"),
            _variable("PASSWORD"),
            os.environ.get(_VARIABLE + "CA"),
            os.environ.get(_VARIABLE + "CERT"),
            os.environ.get(_VARIABLE + "KEY"),
            _variable("KEY_PASSWORD"),
        )

    def context(self) -> ssl.SSLContext:
        """How connections are secured. Raises VagusError if a file can't be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise VagusError(
                f"expected certificates in PEM: {error.strerror or error}",
                where=self.ca,
                hint=f"{_VARIABLE}CA names the file",
            ) from None
        if self.certificate is not None:
            # Without a password OpenSSL would ask the terminal for one.
            secret = self.key_password or ""
            try:
                context.load_cert_chain(self.certificate, self.key, password=lambda: secret)
            except OSError as error:
                raise VagusError(
                    f"expected a certificate and its key in PEM: {error.strerror or error}",
                    where=f"{self.certificate}, {self.key or 'no file for the key'}",
                    hint=f"{_VARIABLE}CERT, {_VARIABLE}KEY and {_VARIABLE}KEY_PASSWORD name them",
                ) from None
        return context


def _variable(name: str) -> str | None:
    """The value of a variable, or of the file that it names."""
    path = os.environ.get(f"{_VARIABLE}{name}_FILE")
    if path is None:
        return os.environ.get(_VARIABLE + name)
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise VagusError(
            f"expected a file to read: {error.strerror}",
            where=path,
            hint=f"{_VARIABLE}{name}_FILE names it",
        ) from None


class Refusal(Exception):
    """The registry understood a request and said no. `code` is Confluent's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Rest:
    """Speaks JSON with a registry. Safe to use from several threads; holds nothing open.

    `url` may list several addresses of one registry, with commas between; each is tried.
    """

    def __init__(
        self, url: str, access: Access | None = None, *, deadline_s: float | None = None
    ) -> None:
        self._access = access or Access.from_environment()
        self._bases, found = _addresses(url)
        self._deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        user, password = self._access.user, self._access.password
        if found is not None and user is None:
            user, password = found
        self._client = httpx.Client(
            verify=self._access.context(),
            auth=None if user is None else (user, password or ""),
            headers={"Accept": "application/vnd.schemaregistry.v1+json, application/json"},
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    @property
    def url(self) -> str:
        """Where the registry is, without any password."""
        return ",".join(self._bases)

    def call(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None
    ) -> Any:
        """The answer. A request is repeated for a while: so all of them must be repeatable.

        Raises Refusal if the registry says no, RegistryUnavailable if it says nothing.
        """
        end_s = time.monotonic() + self._deadline_s
        attempt, reason = 0, ""
        while True:
            base = self._bases[attempt % len(self._bases)]
            left_s = end_s - time.monotonic()
            pause_s = random.uniform(0.05, 0.1) * 2 ** min(attempt // len(self._bases), 4)
            if left_s <= 0 or (attempt and left_s <= pause_s):
                raise RegistryUnavailable(
                    f"expected an answer of the schema registry, {reason}",
                    where=self.url,
                    hint="see that it runs, and that --registry or VAGUS_REGISTRY names it",
                )
            if attempt >= len(self._bases):
                time.sleep(pause_s)
                left_s -= pause_s
            attempt += 1
            try:
                response = self._client.request(
                    method,
                    base + path,
                    json=body,
                    params=query,
                    timeout=httpx.Timeout(left_s / 2, connect=min(left_s / 2, _CONNECT_S)),
                )
            except httpx.TransportError as error:
                self._check_cause(error, base)
                reason = f"but {_cause(error)}"
                continue
            if response.status_code not in _TRY_AGAIN:
                return self._answer(response, base)
            reason = f"got status {response.status_code}{_told(response)}"

    def _answer(self, response: httpx.Response, base: str) -> Any:
        status = response.status_code
        if status in (401, 403):
            known = "with" if self._client.auth is not None else "without"
            raise RegistryUnavailable(
                f"the schema registry refuses us, {known} a password: status {status}",
                where=base,
                hint=f"set {_VARIABLE}USER and {_VARIABLE}PASSWORD (or {_VARIABLE}PASSWORD_FILE)",
            )
        try:
            said = response.json()
        except ValueError:
            said = None
        if response.is_success and said is not None:
            return said
        if isinstance(said, dict) and "error_code" in said:
            raise Refusal(int(said["error_code"]), str(said.get("message", "")))
        raise RegistryUnavailable(
            f"expected a schema registry, but what answers is none: status {status}",
            where=base,
            hint="see that --registry or VAGUS_REGISTRY names one",
        )

    @staticmethod
    def _check_cause(error: httpx.TransportError, base: str) -> None:
        """Raise RegistryUnavailable for what trying again won't mend."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise RegistryUnavailable(
                    f"the schema registry's certificate isn't to be trusted: "
                    f"{cause.verify_message}",
                    where=base,
                    hint=f"{_VARIABLE}CA names a file with the certificates to trust",
                ) from None
            if isinstance(cause, ssl.SSLError):
                raise RegistryUnavailable(
                    f"expected a schema registry that speaks TLS: {cause.reason or cause}",
                    where=base,
                    hint=f"is it http, not https; or does it want a certificate, which "
                    f"{_VARIABLE}CERT and {_VARIABLE}KEY name?",
                ) from None
            if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
                raise RegistryUnavailable(
                    "expected a schema registry, but no machine has that name",
                    where=base,
                    hint="see that --registry or VAGUS_REGISTRY is spelt right",
                ) from None
            cause = cause.__cause__ or cause.__context__


def _cause(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    if isinstance(error, httpx.ConnectError):
        return "nobody answers there"
    return f"the connection broke: {str(error) or type(error).__name__}"


def _told(response: httpx.Response) -> str:
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {message}"


def _addresses(url: str) -> tuple[list[str], tuple[str, str] | None]:
    """The addresses without names and passwords, and the first of these."""
    bases, found = [], None
    for each in url.split(","):
        parts = urlsplit(each.strip())
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if parts.scheme not in ("http", "https") or not host:
            shown = each.strip() if "@" not in each else "one that is not shown: it has a password"
            raise VagusError(
                f"expected the address of a schema registry, got {shown!r}",
                where="registry",
                hint="such as http://localhost:8081",
            )
        host = f"[{host}]" if ":" in host else host
        place = host if port is None else f"{host}:{port}"
        bases.append(f"{parts.scheme}://{place}{parts.path.rstrip('/')}")
        if parts.username is not None and found is None:
            found = (unquote(parts.username), unquote(parts.password or ""))
    return bases, found
