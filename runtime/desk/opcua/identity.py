"""The server's own certificate: the one that is named, or one that it makes for itself at its first start."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import BinaryIO

from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from ...errors import InputError
from ...formats.atomic import atomic_write
from ...station.config_protocols import OpcuaConfig
from ...text import shown

__all__ = ["application_uri", "identity"]

_DAYS = 3650


def application_uri(station: str) -> str:
    """Return the name by which clients tell this server from others."""
    return f"urn:regad:station:{station}"


def identity(config: OpcuaConfig, folder: Path, station: str) -> tuple[Path, Path]:
    """Return the files of the certificate (DER) and its key (PEM), made in ``folder`` where none are named.

    Raises InputError where a named file is missing, OutputError where ``folder`` cannot be written.
    """
    if config.certificate is not None and config.private_key is not None:
        for path in (config.certificate, config.private_key):
            if not path.is_file():
                raise InputError(f"opcua: the file {shown(path)} does not exist; name the server's certificate and key")
        return config.certificate, config.private_key
    certificate, key = folder / "opcua-certificate.der", folder / "opcua-key.pem"
    if not (certificate.is_file() and key.is_file()):
        _make(certificate, key, station)
    return certificate, key


def _make(certificate: Path, key: Path, station: str) -> None:
    private = generate_private_key()
    host = socket.gethostname()
    names = [x509.UniformResourceIdentifier(application_uri(station)), x509.DNSName(host), x509.DNSName("localhost")]
    made = generate_self_signed_app_certificate(
        private,
        f"regad station {station}"[:64],
        {"organizationName": "regad"},
        list(names),
        [ExtendedKeyUsageOID.SERVER_AUTH],
        days=_DAYS,
    )

    def write(file: BinaryIO) -> None:
        os.fchmod(file.fileno(), 0o600)  # before there is anything to read
        file.write(dump_private_key_as_pem(private))

    atomic_write(key, write)
    atomic_write(certificate, made.public_bytes(Encoding.DER))
