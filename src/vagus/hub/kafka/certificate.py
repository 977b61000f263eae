"""Why a broker's certificate is refused: Kafka's client says only that it is."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.errors import HubUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED = re.compile(r"(?:\w+://)?(?P<host>\S+):(?P<port>\d+)/\w+: .*certificate verify failed")
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_TIMEOUT_S = 1.5


def fault(text: str, properties: Mapping[str, str], where: str) -> HubUnavailable | None:
    """The error to raise for what the client said, if it speaks of a certificate.

    The certificate is asked for once more, and checked by Python.
    """
    told = _REFUSED.search(text)
    if told is None:
        return None
    try:
        context = _context(properties)
        address = told["host"].strip("[]"), int(told["port"])
        with socket.create_connection(address, _TIMEOUT_S) as plain:
            context.wrap_socket(plain, server_hostname=address[0]).close()
    except ssl.SSLCertVerificationError as error:
        expired = error.verify_code == _EXPIRED
        return HubUnavailable(
            f"the certificate of {told['host']}:{told['port']} is refused: "
            f"{error.verify_message.rstrip('.')}",
            where=where,
            hint="have it renewed, unless this machine's clock is wrong"
            if expired
            else "ssl.ca.location has to name the authority that signed it, and the address the "
            "host that it is for",
        )
    except (OSError, ValueError):  # no more is to be learned
        pass
    return None


def _context(properties: Mapping[str, str]) -> ssl.SSLContext:
    """What the client checks by, as far as certificates of brokers go."""
    location = Path(properties["ssl.ca.location"]) if "ssl.ca.location" in properties else None
    context = ssl.create_default_context(
        cafile=location if location is not None and location.is_file() else None,
        capath=location if location is not None and location.is_dir() else None,
        cadata=properties.get("ssl.ca.pem"),
    )
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the client isn't
    context.check_hostname = properties.get("ssl.endpoint.identification.algorithm") != "none"
    return context
