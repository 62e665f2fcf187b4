"""By which names the page may be called: another name may be another site's, turned to this address."""

from __future__ import annotations

import ipaddress

from ...station.config_page import DeskConfig

__all__ = ["HostRule"]

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class HostRule:
    """Judges the headers Host and Origin of a request.

    An address instead of a name cannot be rebound, so where the page is open to a network every address is its own.
    """

    def __init__(self, desk: DeskConfig) -> None:
        self._names = frozenset(name.lower() for name in desk.hosts)
        self._here = not desk.behind_proxy
        self._addresses = not desk.loopback and not desk.behind_proxy
        self._schemes = ("https",) if desk.tls else ("http", "https") if desk.behind_proxy else ("http",)

    def knows(self, host: str) -> bool:
        """Whether ``host``, a Host header, is a name of the page."""
        name = _name(host)
        if name is None:
            return False
        if name in self._names or (self._here and name in _HERE):
            return True
        return self._addresses and _is_address(name)

    def same(self, origin: str, host: str) -> bool:
        """Whether ``origin``, an Origin header, is the page that ``host`` names."""
        scheme, split, rest = origin.partition("://")
        return bool(split) and scheme in self._schemes and rest.lower() == host.lower()


def _name(host: str) -> str | None:
    """The name in a Host header without its port, None for what is none."""
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        port = port.removeprefix(":") if port.startswith(":") or not port else "x"
        if not closed or not _is_address(name):
            return None
    else:
        name, _, port = host.partition(":")
    if not name or (port and not (port.isascii() and port.isdigit())):
        return None
    return name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
