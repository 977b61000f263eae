"""How a cluster is reached: its address, and properties from four places.

Later places win: the file that VAGUS_KAFKA_CONFIG (or `config` in the address) names, variables
VAGUS_KAFKA_<PROPERTY>, the address, and what `connect` is given. Secrets may be in any of them but
the address, which is shown in messages and to other processes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from vagus.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "kafka://"
_VARIABLE = "VAGUS_KAFKA_"
_FILE = "config"
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_SECRET = re.compile(r"password|secret|passphrase|jaas|oauthbearer\.config|token$|key.*\.pem$")

_OURS = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.remote.assignor",
        "isolation.level",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "request.required.acks",
        "transactional.id",
    }
)
"""What Vagus sets itself: its promises hang on these."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where a cluster is and how to speak to it.

    `url` has no secrets; nor has what is printed of this. `replication` is the number of copies of
    topics that are made here, -1 for what the brokers are set to; `topic` are further settings
    that such topics get.
    """

    url: str
    servers: str
    properties: Mapping[str, str] = field(repr=False)
    replication: int = -1
    topic: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        url: str,
        properties: Mapping[str, object] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> KafkaSettings:
        """Read an address and what belongs to it. Raises HubError where it can't be right.

        >>> KafkaSettings.of("kafka://a:9092,b?security.protocol=SSL", environ={}).url
        'kafka://a:9092,b:9092?security.protocol=SSL'
        """
        servers, query = _split(url)
        given = {name: _text(value) for name, value in (properties or {}).items()}
        shown = {name: text for name, text in (query | given).items() if not is_secret(name)}
        file = (query | given).get(_FILE) or environ.get(_VARIABLE + _FILE.upper())
        found = _from_file(file) if file else {}
        found |= _from_environment(environ)
        found |= query | given
        found.pop(_FILE, None)
        for name in sorted(found.keys() & _OURS):
            raise HubError(
                f"expected properties that can be chosen, got {name!r}",
                where=PREFIX + servers,
                hint="Vagus sets it itself: what it promises hangs on it",
            )
        topic = {name: found.pop(name) for name in ["min.insync.replicas"] if name in found}
        replication = _number("replication", found.pop("replication", "-1"))
        suffix = "?" + urlencode(shown, safe=":/,", quote_via=quote) if shown else ""
        return cls(
            url=PREFIX + servers + suffix,
            servers=servers,
            properties=found,
            replication=replication,
            topic=topic,
        )

    @property
    def where(self) -> str:
        """The address for messages."""
        return PREFIX + self.servers


def is_secret(name: str) -> bool:
    """Whether a property's value must never be shown."""
    return _SECRET.search(name) is not None


def _split(url: str) -> tuple[str, dict[str, str]]:
    """The servers and the query of an address."""
    rest = url[len(PREFIX) :]
    servers, _, query = rest.partition("?")
    if "@" in servers:
        raise HubError(
            "expected an address without a password",
            where=PREFIX + servers.rpartition("@")[2],
            hint="addresses are shown: give sasl.username in the address if you like, and the "
            f"password in {_VARIABLE}SASL_PASSWORD",
        )
    hosts = [host for host in servers.rstrip("/").split(",") if host]
    for host in hosts or [""]:
        if not _HOST.fullmatch(host):
            raise HubError(
                f"expected kafka://host:port,host:port, got {host!r} for a host",
                where=PREFIX + servers,
                hint="for example kafka://localhost:9092",
            )
    found = dict(parse_qsl(query, keep_blank_values=True))
    for name in found:
        if is_secret(name):
            raise HubError(
                f"expected no secrets in the address, got {name!r}",
                where=PREFIX + servers,
                hint=f"addresses are shown: set {variable(name)}, or put it in the file that "
                f"{_VARIABLE}{_FILE.upper()} names",
            )
    return ",".join(host if _has_port(host) else f"{host}:9092" for host in hosts), found


def _has_port(host: str) -> bool:
    return re.search(r":\d+$", host.rpartition("]")[2]) is not None


def variable(name: str) -> str:
    """The variable of the environment that gives a property.

    >>> variable("sasl.password")
    'VAGUS_KAFKA_SASL_PASSWORD'
    """
    return _VARIABLE + name.replace(".", "_").upper()


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name[len(_VARIABLE) :].lower().replace("_", "."): value
        for name, value in environ.items()
        if name.startswith(_VARIABLE) and name != _VARIABLE + _FILE.upper()
    }


def _from_file(path: str) -> dict[str, str]:
    """A file of lines `name=value`; those that begin with # are comments."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HubError(
            f"expected a file of Kafka properties, which can't be read: {error}",
            where=path,
            hint=f"{_VARIABLE}{_FILE.upper()}, or `config` in the address, names it",
        ) from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise HubError("expected name=value", where=f"{path}, line {number}")
        found[name.strip()] = value.strip()
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise HubError(f"expected a number for {name}, got {text!r}", where="address") from None
