"""The client of registries elsewhere: what it sends, and what it says when that fails."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kafka.certificates import Certificates, make
from tests.kafka.node import free_ports
from tests.registry.conftest import record, text
from vagus.errors import RegistryUnavailable, SchemaError, VagusError
from vagus.hub import Hub, open_registry
from vagus.hub.confluent import ConfluentRegistry
from vagus.hub.rest import Access, Rest
from vagus.hub.schemas import HubRegistry

if TYPE_CHECKING:
    from vagus.serve.registry import RegistryServer

LIMIT_S = 10


class Fake:
    """A server that gives the answers it was told to, one after another, the last for ever."""

    def __init__(self, *answers: tuple[int, Any], tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                fake.asked.append((self.command, self.path, headers))
                status, body = fake.answers[0]
                if len(fake.answers) > 1:
                    fake.answers.pop(0)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815 - the names that http.server wants

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.place = f"127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))

    def __enter__(self) -> Fake:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


NO = {"error_code": 40403, "message": "Schema not found"}


def test_without_an_address_the_hub_keeps_the_schemas(hub: Hub) -> None:
    assert isinstance(open_registry(None, hub), HubRegistry)
    assert isinstance(open_registry("", hub), HubRegistry)
    assert isinstance(open_registry("http://localhost:8081", hub), ConfluentRegistry)


def test_what_has_an_id_is_asked_for_once() -> None:
    with Fake((200, {"schema": '"string"'})) as fake:
        registry = ConfluentRegistry(f"http://{fake.place}")
        assert [registry.schema(1), registry.schema(1)] == ['"string"', '"string"']
        assert [each[:2] for each in fake.asked] == [("GET", "/schemas/ids/1")]
    with Fake((200, {"id": 3})) as fake:
        registry = ConfluentRegistry(f"http://{fake.place}/registry/")
        assert registry.register("a/b", '"string"') == 3
        assert registry.register("a/b", '{"type": "string"}') == 3
        assert [each[:2] for each in fake.asked] == [("POST", "/registry/subjects/a%2Fb/versions")]


def test_a_request_is_repeated_while_the_registry_is_busy() -> None:
    busy = (503, {"error_code": 50302, "message": "starting"})
    with Fake(busy, (500, b""), (429, {}), (200, {"schema": '"string"'})) as fake:
        assert ConfluentRegistry(f"http://{fake.place}").schema(1) == '"string"'
        assert len(fake.asked) == 4


def test_a_registry_with_several_addresses_is_found_at_any() -> None:
    (free,) = free_ports(1)
    with Fake((200, {"schema": '"string"'})) as fake:
        url = f"http://127.0.0.1:{free},http://{fake.place}"
        assert ConfluentRegistry(url).schema(1) == '"string"'


def test_what_the_registry_refuses_is_a_schema_error() -> None:
    with Fake((404, NO)) as fake, pytest.raises(SchemaError, match="known schema, got 9"):
        ConfluentRegistry(f"http://{fake.place}").schema(9)
    refused = {"error_code": 42201, "message": "Invalid schema"}
    with Fake((422, refused)) as fake, pytest.raises(SchemaError, match="Invalid schema"):
        ConfluentRegistry(f"http://{fake.place}").register("a", '"string"')
    proto = {"schema": "message A {}", "schemaType": "PROTOBUF"}
    with Fake((200, proto)) as fake, pytest.raises(SchemaError, match="got PROTOBUF"):
        ConfluentRegistry(f"http://{fake.place}").schema(1)


def test_an_incompatible_schema_is_refused_with_the_registrys_reason(
    server: RegistryServer,
) -> None:
    registry = ConfluentRegistry(server.url)
    registry.register("a-value", text(record("x")))
    broken = {"type": "record", "name": "A", "fields": [{"name": "x", "type": "string"}]}
    with pytest.raises(SchemaError, match=r"A\.x.*a-value of http"):
        registry.register("a-value", text(broken))


# What can't be reached


def _told(url: str, *, access: Access | None = None, deadline_s: float = 1.0) -> str:
    with pytest.raises(RegistryUnavailable) as caught:
        Rest(url, access, deadline_s=deadline_s).call("GET", "/subjects")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_registry_that_is_down_is_named_with_what_to_do() -> None:
    (free,) = free_ports(1)
    told = _told(f"http://127.0.0.1:{free}")
    assert f"http://127.0.0.1:{free}" in told
    assert "nobody answers there" in told
    assert "--registry" in told


def test_a_registry_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        told = _told(f"http://127.0.0.1:{port}")
    assert "it took too long" in told
    assert str(port) in told


def test_by_default_a_request_ends_within_ten_seconds() -> None:
    from vagus.hub.rest import DEADLINE_S

    assert DEADLINE_S < LIMIT_S


def test_a_name_that_no_machine_has_is_told_at_once() -> None:
    assert "no machine has that name" in _told("http://nowhere.invalid:8081", deadline_s=60)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, {"error_code": 401, "message": "Unauthorized"}), "refuses us, without a password"),
        ((403, b""), "VAGUS_REGISTRY_USER"),
        ((200, b"<html>"), "what answers is none"),
        ((404, b"not here"), "what answers is none: status 404"),
        ((302, b""), "status 302"),
    ],
)
def test_what_is_no_use_to_repeat_is_told_at_once(answer: tuple[int, Any], told: str) -> None:
    with Fake(answer) as fake:
        assert told in _told(f"http://{fake.place}", deadline_s=60)
        assert len(fake.asked) == 1


def test_an_answer_that_lacks_what_was_asked_for_is_told() -> None:
    for answer in ({}, [], 3, {"ids": 1}):
        with Fake((200, answer)) as fake, pytest.raises(RegistryUnavailable, match="'schema'"):
            ConfluentRegistry(f"http://{fake.place}").schema(1)


@pytest.mark.parametrize("url", ["localhost:8081", "ftp://x", "http://", "http://x:y", "kafka://x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(VagusError, match="expected the address of a schema registry"):
        ConfluentRegistry(url)


# Who we are


def test_name_and_password_come_from_the_environment_or_a_file_or_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    basic = "Basic YWRhOnMzY3IzdA=="  # ada:s3cr3t
    secret = tmp_path / "password"
    secret.write_text("s3cr3t\n")
    with Fake((200, [])) as fake:
        ConfluentRegistry(f"http://ada:s3cr3t@{fake.place}").subjects()
        monkeypatch.setenv("VAGUS_REGISTRY_USER", "ada")
        monkeypatch.setenv("VAGUS_REGISTRY_PASSWORD", "s3cr3t")
        ConfluentRegistry(f"http://{fake.place}").subjects()
        monkeypatch.setenv("VAGUS_REGISTRY_PASSWORD", "not this")
        monkeypatch.setenv("VAGUS_REGISTRY_PASSWORD_FILE", str(secret))
        ConfluentRegistry(f"http://{fake.place}").subjects()
        assert [headers["authorization"] for _, _, headers in fake.asked] == [basic] * 3


def test_a_password_is_never_shown() -> None:
    (free,) = free_ports(1)
    access = Access("ada", "s3cr3t", key_password="s3cr3t")
    with Fake((401, b"")) as fake:
        shown = [
            repr(access),
            _told(f"http://ada:s3cr3t@127.0.0.1:{free}"),
            _told(f"http://ada:s3cr3t@{fake.place}"),
            ConfluentRegistry(f"http://ada:s3cr3t@{fake.place}").url,
        ]
    for url in ("ada:s3cr3t@host", "http://ada:s3cr3t@host:port"):
        with pytest.raises(VagusError) as caught:
            ConfluentRegistry(url)
        shown.append(str(caught.value))
    assert not [each for each in shown if "s3cr3t" in each]
    assert "with a password" in shown[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secured(certificates: Certificates) -> Iterator[Fake]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.broker)
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with Fake((200, ["a"]), tls=context) as fake:
        yield fake


def test_a_registry_with_tls_is_trusted_by_its_authority_and_knows_us_by_a_certificate(
    secured: Fake, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in (
        ("CA", certificates.authority),
        ("CERT", certificates.client),
        ("KEY", certificates.client_key),
    ):
        monkeypatch.setenv(f"VAGUS_REGISTRY_{name}", str(path))
    assert ConfluentRegistry(f"https://{secured.place}").subjects() == ["a"]


def test_a_certificate_that_nobody_vouches_for_is_told_at_once(secured: Fake) -> None:
    told = _told(f"https://{secured.place}", deadline_s=60)
    assert "isn't to be trusted" in told
    assert "VAGUS_REGISTRY_CA" in told


def test_an_expired_certificate_is_told_at_once(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.expired)
    access = Access(ca=str(certificates.authority))
    with Fake((200, []), tls=context) as fake:
        assert "expired" in _told(f"https://{fake.place}", access=access, deadline_s=60)


def test_https_to_a_registry_without_tls_is_told_at_once() -> None:
    with Fake((200, [])) as fake:
        assert "speaks TLS" in _told(f"https://{fake.place}", deadline_s=60)


def test_files_that_hold_no_certificates_are_named(
    tmp_path: Path, certificates: Certificates
) -> None:
    missing = str(tmp_path / "none.pem")
    for access in (
        Access(ca=missing),
        Access(certificate=missing),
        Access(certificate=str(certificates.client)),
    ):
        with pytest.raises(VagusError, match=r"in PEM.*VAGUS_REGISTRY"):
            ConfluentRegistry("https://localhost:8081", access)


def test_a_file_with_a_password_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAGUS_REGISTRY_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(VagusError, match="VAGUS_REGISTRY_PASSWORD_FILE"):
        ConfluentRegistry("http://localhost:8081")
