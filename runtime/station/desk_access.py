"""Whether the page may listen at its address: beyond this machine only with a password and a protected way."""

from __future__ import annotations

import socket
import ssl

from ..errors import InputError
from .config_page import DeskConfig
from .users import read_users

__all__ = ["bind_page", "check_access"]


def check_access(desk: DeskConfig) -> None:
    """Raise InputError where the page must not listen at its address, or its files cannot be used."""
    users = read_users(desk.users)
    _try_tls(desk)
    if desk.loopback and not desk.behind_proxy:
        return
    if not users:
        raise InputError(
            f"desk.host is {desk.host}, and nobody has a password",
            remedy=f"regad-station passwd NAME --role engineer --users {desk.users}",
        )
    if not (desk.tls or desk.behind_proxy or desk.insecure_lan):
        raise InputError(
            f"desk.host is {desk.host}, where passwords would be readable on their way",
            remedy="give desk.tls_cert and desk.tls_key, or declare desk.behind_proxy with desk.hosts, or accept it: "
            "desk.insecure_lan = true",
        )


def _try_tls(desk: DeskConfig) -> None:
    """Raise InputError for a certificate and key that cannot be used."""
    if desk.tls_cert is None or desk.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(desk.tls_cert, desk.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise InputError(
            f"desk.tls_cert {desk.tls_cert} with desk.tls_key {desk.tls_key} cannot be used ({error})",
            remedy="give a PEM certificate and its key without a password",
        ) from error


def _no_password() -> str:
    """Called for a key that is encrypted: nobody is there to ask."""
    raise ValueError("the key is encrypted")


def bind_page(host: str, port: int) -> socket.socket:
    """Bind the page's port. Raises InputError."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise InputError(
            f"the page cannot listen at {host} port {port} ({error.strerror or error})",
            remedy="set desk.host and desk.port to an address of this machine and a free port",
        ) from error
    bound.setblocking(False)
    return bound
