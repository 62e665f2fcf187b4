"""Whether the page may listen where it is told to: beyond this machine only with a password and a protected way."""

from __future__ import annotations

import ssl

from ..errors import InputError
from .config_page import DeskConfig
from .users import read_users

__all__ = ["check_access", "tls_context"]


def check_access(desk: DeskConfig) -> None:
    """Raise InputError where the page must not listen at its address, or its files cannot be used."""
    users = read_users(desk.users)
    tls_context(desk)
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


def tls_context(desk: DeskConfig) -> ssl.SSLContext | None:
    """Return what the page's TLS is made of, None without TLS. Raises InputError for files that cannot be used."""
    if desk.tls_cert is None or desk.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(desk.tls_cert, desk.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise InputError(
            f"desk.tls_cert {desk.tls_cert} with desk.tls_key {desk.tls_key} cannot be used ({error})",
            remedy="give a PEM certificate and its key without a password",
        ) from error
    return context


def _no_password() -> str:
    """Called for a key that is encrypted: nobody is there to ask."""
    raise ValueError("the key is encrypted")
