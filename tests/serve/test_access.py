"""Who may do what: API keys, and bearer tokens of a provider that publishes its keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import vagus as vg
from vagus.errors import VagusError
from vagus.serve.access import Access, Caller, new_key
from vagus.serve.gateway import Gateway


class Seen(vg.Row):
    name: str


class Ping(vg.Event):
    name: str


def service() -> vg.Service:
    made = vg.Service("pinger")
    pings = made.topic("ping", Ping, key="name")

    @made.view("seen", Seen, key="name", of=pings)
    def seen(event: Any, rows: Any) -> None:
        rows.put(Seen(name=event.name))

    return made


class Provider:
    """An OpenID provider on this machine."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        keys = {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]}
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = {"jwks_uri": f"{provider.issuer}/keys"}
                body = json.dumps(keys if self.path == "/keys" else found).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def token(self, **changed: Any) -> str:
        claims = {
            "iss": self.issuer,
            "aud": "shop",
            "sub": "ada",
            "exp": time.time() + 60,
            "scope": "query:seen",
            **changed,
        }
        given = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(given, self.key, algorithm="RS256", headers={"kid": "k1"})

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


READER, READER_ENTRY = new_key("reader", ["query:*"])
WRITER, WRITER_ENTRY = new_key("writer", ["command:*"])


@pytest.fixture(scope="module")
def http(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    path = tmp_path_factory.mktemp("access") / "access.toml"
    issuer = f'[oidc]\nissuer = "{provider.issuer}"\naudience = "shop"\n'
    path.write_text(READER_ENTRY + WRITER_ENTRY + issuer)
    access = Access.of_file(str(path))
    here = ("127.0.0.1", 0)
    with (
        vg.connect(":memory:") as hub,
        Gateway([service()], hub, address=here, access=access) as gateway,
        httpx.Client(base_url=gateway.url, timeout=30) as client,
    ):
        yield client


def asked(http: httpx.Client, **headers: str) -> httpx.Response:
    return http.get("/queries/seen", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_nobody_is_answered_without_saying_who_it_is(http: httpx.Client) -> None:
    answer = asked(http)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:vagus:problem:unauthenticated"


def test_health_and_the_description_are_open_to_all(http: httpx.Client) -> None:
    assert http.get("/health/live").status_code == 200
    said = http.get("/openapi.json").json()
    assert set(said["components"]["securitySchemes"]) == {"key", "bearer"}


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_a_key_lets_in(http: httpx.Client, header: str) -> None:
    value = READER if header == "X-API-Key" else f"Bearer {READER}"
    assert asked(http, **{header: value}).status_code == 200


def test_an_unknown_key_does_not(http: httpx.Client) -> None:
    assert asked(http, X_API_Key=READER + "x").status_code == 401


def test_a_key_opens_only_what_its_scopes_name(http: httpx.Client) -> None:
    answer = asked(http, X_API_Key=WRITER)
    assert answer.status_code == 403
    assert "'query:seen'" in answer.json()["detail"]


def test_measures_need_a_scope_of_their_own(http: httpx.Client) -> None:
    assert http.get("/metrics", headers={"X-API-Key": READER}).status_code == 403


def test_a_token_of_the_provider_lets_in(http: httpx.Client, provider: Provider) -> None:
    assert asked(http, Authorization=f"Bearer {provider.token()}").status_code == 200


@pytest.mark.parametrize("claim", ["scp", "permissions"])
def test_scopes_may_come_as_a_list(http: httpx.Client, provider: Provider, claim: str) -> None:
    token = provider.token(**{"scope": None, claim: ["query:*"]})
    assert asked(http, Authorization=f"Bearer {token}").status_code == 200


def test_a_token_without_the_scope_opens_nothing(http: httpx.Client, provider: Provider) -> None:
    token = provider.token(scope="command:*")
    assert asked(http, Authorization=f"Bearer {token}").status_code == 403


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1_000_000},
        {"exp": None},
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://elsewhere.example"},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_us_is_refused(
    http: httpx.Client, provider: Provider, changed: dict[str, Any]
) -> None:
    answer = asked(http, Authorization=f"Bearer {provider.token(**changed)}")
    assert answer.status_code == 401


def test_a_token_with_a_forged_signature_is_refused(http: httpx.Client, provider: Provider) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = jwt.decode(provider.token(), options={"verify_signature": False})
    forged = jwt.encode(claims, other, algorithm="RS256", headers={"kid": "k1"})
    assert asked(http, Authorization=f"Bearer {forged}").status_code == 401


def test_a_token_without_a_signature_is_refused(http: httpx.Client, provider: Provider) -> None:
    claims = jwt.decode(provider.token(), options={"verify_signature": False})
    bare = jwt.encode(claims, None, algorithm="none", headers={"kid": "k1"})
    assert asked(http, Authorization=f"Bearer {bare}").status_code == 401


def test_a_provider_that_does_not_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    path.write_text('[oidc]\nissuer = "http://127.0.0.1:9"\naudience = "shop"\n')
    here = ("127.0.0.1", 0)
    with (
        vg.connect(":memory:") as hub,
        Gateway([service()], hub, address=here, access=Access.of_file(str(path))) as gateway,
    ):
        answer = httpx.get(
            f"{gateway.url}/queries/seen", headers={"Authorization": "Bearer a.b.c"}, timeout=30
        )
    assert answer.status_code == 503
    assert "http://127.0.0.1:9" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[[key]", "TOML"),
        ("", "nobody could do anything"),
        ("[[keys]]", "did you mean 'key'"),
        ('[[key]]\nname = "a"\nsha256 = "b"\nscopes = "all"', "a list of scopes"),
        ('[[key]]\nname = "a"\nscopes = []', "'sha256'"),
        ("[oidc]\nissuer = 3", "'issuer'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(VagusError, match=wrong):
        Access.of_file(str(path))


def test_a_pattern_covers_what_it_matches() -> None:
    caller = Caller("a", ("command:place-*", "query:orders"))
    assert caller.may("command:place-order")
    assert not caller.may("command:cancel-order")
    assert not caller.may("query:orders-of-others")
